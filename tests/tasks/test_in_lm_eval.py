"""LAMBADA, WikiText and OpenBookQA inside lm-eval: its own command line, and its evaluator around our adapter."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.paths import resource_dir
from ropepp_eval.rows.catalogue import task_entries
from tests.warm.start import Warm

BENCHMARKS = ("lambada", "wikitext", "openbookqa")
OURS = sorted(
    name
    for name, entry in task_entries().items()
    if entry.benchmark in BENCHMARKS and name != "openbookqa_fact"  # no reference
)
FOR_ANY_MODEL = [name for name in OURS if name not in ("lambada_sliding", "wikitext_sliding", "wikitext_positions")]


@pytest.fixture(scope="module")
def evaluated(golden_lm: Any, gpt2_tokenizer_dir: Path) -> dict[str, Any]:
    """lm-eval's results for two rows of each task whose text is short enough for a test."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    metadata = {"tokenizer": str(gpt2_tokenizer_dir), "length_tokens": 1024, "samples": 2}
    manager = TaskManager(include_path=str(resource_dir("tasks")), include_defaults=False, metadata=metadata)
    names = [name for name in OURS if not name.endswith("_sliding")]
    results: dict[str, Any] = lm_eval.simple_evaluate(
        golden_lm, tasks=names, task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    return results


@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("_sliding")])
def test_every_metric_of_the_yaml_that_the_rows_have_is_in_lm_evals_results(name: str, evaluated: dict[str, Any]) -> None:
    found = {key.partition(",")[0] for key in evaluated["results"][name] if not key.endswith("_stderr,none")}
    reached = {metric.name for metric in task_entries()[name].metrics if metric.name not in BEYOND_1024}
    assert reached <= found
    assert len(evaluated["samples"][name]) == 2


BEYOND_1024 = {f"perplexity_at_{2**power}" for power in range(10, 17)}


def test_lm_eval_aggregates_positions_over_rows(evaluated: dict[str, Any]) -> None:
    pairs = [sample["perplexity_at_64"] for sample in evaluated["samples"]["wikitext_positions"]]
    assert all(pair[1] == 64 for pair in pairs)
    assert evaluated["results"]["wikitext_positions"]["perplexity_at_64,none"] > 1


def test_a_limit_builds_only_the_rows_it_asks_for() -> None:
    """At 256 tokens one of the hundred default rows does not fit; the first five do."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    import ropepp_eval

    ropepp_eval.register()
    manager = TaskManager(include_defaults=False)  # the index of lm-eval's own tasks takes many seconds
    demo = str(resource_dir("models") / "demo" / "rope")
    task = ropepp_eval.lm_eval_tasks("niah_single_1", "256", tokenizer=demo)
    results = lm_eval.simple_evaluate(
        "ropepp", model_args={"pretrained": demo}, tasks=task, task_manager=manager, limit=5, bootstrap_iters=0
    )
    assert [sample["doc"]["row"] for sample in results["samples"]["niah_single_1@256"]] == [0, 1, 2, 3, 4]
    assert len(task[0].rows) == 5
    task = ropepp_eval.lm_eval_tasks("niah_single_1", "256", tokenizer=demo)
    wanted = {"niah_single_1@256": [1, 3]}
    results = lm_eval.simple_evaluate(
        "ropepp", model_args={"pretrained": demo}, tasks=task, task_manager=manager, samples=wanted, bootstrap_iters=0
    )
    assert [sample["doc"]["row"] for sample in results["samples"]["niah_single_1@256"]] == [1, 3]
    assert len(task[0].rows) == 4


def test_stand_ins_are_announced(gpt2_tokenizer_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ropepp_eval.rows.lm_eval_lengths import lm_eval_tasks

    with caplog.at_level(logging.WARNING):
        lm_eval_tasks("lambada", tokenizer=str(gpt2_tokenizer_dir), samples=1)
    assert "generated text stands in" in caplog.text


@pytest.mark.slow
def test_plain_lm_eval_runs_the_tasks_from_a_checkout(tmp_path: Path, gpt2_tokenizer_dir: Path, warm: Warm) -> None:
    metadata = {"tokenizer": str(gpt2_tokenizer_dir), "length_tokens": 1024, "samples": 2}
    arguments = ["run", "--model", "dummy", "--include_path", str(resource_dir("tasks")), "--tasks", ",".join(FOR_ANY_MODEL)]
    arguments += ["--metadata", json.dumps(metadata), "--output_path", str(tmp_path)]
    command = warm.command(*arguments, module="lm_eval")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (written,) = tmp_path.rglob("results*.json")
    assert sorted(json.loads(written.read_text())["results"]) == FOR_ANY_MODEL
