"""The tasks inside lm-eval: groups, requests and scores."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.rows.catalogue import resolve_tasks, task_groups
from ropepp_eval.rows.lm_eval_lengths import lm_eval_tasks


def test_groups_hold_ten_and_twenty_tasks() -> None:
    assert task_groups()["babilong"] == tuple(f"babilong_qa{number}" for number in range(1, 11))
    assert task_groups()["babilong_all"] == tuple(f"babilong_qa{number}" for number in range(1, 21))
    assert {entry.primary.name for entry in resolve_tasks(["babilong_all"])} == {"accuracy"}


def test_lm_eval_builds_and_scores_rows_without_data(tiny_tokenizer_dir: Path) -> None:
    (task,) = lm_eval_tasks("babilong_qa1", "2k", tokenizer=str(tiny_tokenizer_dir), samples=4)
    docs = list(task.test_docs())
    assert len(docs) == 4
    task.build_all_requests()
    prompt, settings = task.instances[0].arguments
    assert prompt == docs[0]["prompt"]
    assert settings["max_gen_toks"] == 20
    assert task.process_results(docs[0], [docs[0]["references"][0]]) == {"accuracy": 1.0, "accuracy_corrected": 1.0}
    assert task.process_results(docs[0], ["nowhere"]) == {"accuracy": 0.0, "accuracy_corrected": 0.0}
