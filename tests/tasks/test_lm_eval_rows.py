"""Our tasks in the real lm-eval: rows that fail, groups at a length, its switches, and its files read back as our own rows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

import ropepp_eval
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.paths import resource_dir
from ropepp_eval.reports.frame import read_results, read_rows

pytestmark = pytest.mark.usefixtures("lm_eval_index")

DEMO = resource_dir("models") / "demo"
TASK = "niah_single_1@256"


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    ropepp_eval.register()


@pytest.fixture(scope="module")
def lm() -> NativeLM:
    return NativeLM(str(DEMO / "rope"))


def tasks(name: str = "niah_single_1", *lengths: str, **more: Any) -> list[Any]:
    return ropepp_eval.lm_eval_tasks(name, lengths or ("256",), tokenizer=str(DEMO / "rope"), **{"samples": 2, **more})


def evaluated(model: Any, asked: list[Any], **more: Any) -> dict[str, Any]:
    manager = TaskManager(include_defaults=False)  # the index of lm-eval's own tasks takes many seconds
    results: dict[str, Any] = lm_eval.simple_evaluate(model, tasks=asked, bootstrap_iters=0, task_manager=manager, **more)
    return results


def limit_between_two_rows(lm: NativeLM) -> int:
    """A max_length that the longest of four rows is over and the shortest is not."""
    needs = [row.prompt_tokens + row.max_new_tokens for row in rows_of_four()]
    assert min(needs) < max(needs), "choose a task whose rows differ in length"
    return max(needs) - 2  # the last token that is generated need not enter


def rows_of_four() -> list[Any]:
    (task,) = tasks("niah_multikey_2", "512", samples=4)
    task.build_all_requests()
    return list(task.rows)


def test_a_row_that_is_too_long_is_left_out_of_the_mean_and_counted(lm: NativeLM, caplog: pytest.LogCaptureFixture) -> None:
    small = NativeLM(str(DEMO / "rope"), max_length=limit_between_two_rows(lm))
    with caplog.at_level(logging.WARNING):
        results = evaluated(small, tasks("niah_multikey_2", "512", samples=4))
    wrote, samples = results["results"]["niah_multikey_2@512"], results["samples"]["niah_multikey_2@512"]
    failed = [sample["doc_id"] for sample in samples if sample["failed"]]
    scores = [sample["string_match"] for sample in samples if not sample["failed"]]
    assert 0 < len(failed) < 4
    assert wrote["failed,none"] == len(failed)
    assert len(scores) == 4 - len(failed)
    assert wrote["string_match,none"] == sum(scores) / len(scores)
    assert all("string_match" not in sample for sample in samples if sample["failed"])
    assert f"{len(failed)} of 4 rows have no answer and are left out of its scores" in caplog.text
    assert f"Row {failed[0]}: prompt of " in caplog.text
    whole = evaluated(lm, tasks("niah_multikey_2", "512", samples=4))["results"]["niah_multikey_2@512"]
    assert "failed,none" not in whole


def test_of_another_task_a_prompt_that_is_too_long_ends_the_call_before_anything_is_computed(
    lm: NativeLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.api.instance import Instance

    small = NativeLM(str(DEMO / "rope"), max_length=16)
    monkeypatch.setattr(small, "_scores", lambda jobs: pytest.fail("computed"))
    short, long = ("The sky", " is"), ("The sky is blue. " * 20, " yes")
    requests = [Instance("loglikelihood", {}, text, 0, metadata=("piqa", i, 1)) for i, text in enumerate((short, long))]
    with pytest.raises(UserError, match=r"^piqa, document 1 \(loglikelihood\): .* the model has 16; shorten it"):
        small.loglikelihood(requests, disable_tqdm=True)


def test_a_group_at_a_length_leaves_out_what_does_not_fit_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        names = [task.config.task for task in tasks("ruler", "512")]
    assert "niah_single_1@512" in names
    assert not {"vt@512", "cwe@512"} & set(names)
    assert "left out: task cwe does not fit 512 tokens" in caplog.text
    with pytest.raises(UserError, match="task vt does not fit 512 tokens"):
        evaluated("dummy", tasks("vt", "512"))


def test_answers_of_another_checkpoint_are_not_taken_from_lm_evals_cache(tmp_path: Path) -> None:
    cache = str(tmp_path / "answers")

    def run(name: str, **more: Any) -> dict[str, Any]:
        return evaluated("ropepp", tasks(), model_args={"pretrained": str(DEMO / name), **more}, use_cache=cache)

    first = run("rope")
    again = run("rope")
    assert [one["resps"] for one in again["samples"][TASK]] == [one["resps"] for one in first["samples"][TASK]]
    with pytest.raises(UserError, match=r"answers of other making \(checkpoint was rope \(\w+\), is nope \(\w+\)\)"):
        run("nope")
    with pytest.raises(UserError, match=r"\(dtype|\(model_dtype was bfloat16, is float32\)"):
        run("rope", dtype="float32")


def test_a_row_that_failed_is_asked_again_and_not_taken_from_the_cache(tmp_path: Path) -> None:
    """Whether it failed for want of memory or of positions: a failure is no answer."""
    from sqlitedict import SqliteDict

    arguments = {"pretrained": str(DEMO / "rope"), "max_length": 200}
    for _ in range(2):
        results = evaluated("ropepp", tasks(), model_args=arguments, use_cache=str(tmp_path / "answers"))
        assert results["results"][TASK]["failed,none"] == 2
    from ropepp_eval.adapters.lm_eval_cache import claim

    with SqliteDict(str(tmp_path / "answers_rank0.db"), autocommit=True) as kept:
        assert len(kept) == 3
        lm = NativeLM(**arguments)
        claim(kept, lm.get_model_info(), lm.encoder.tokenizer, lm.settings)
        assert len(kept) == 1


def test_a_cache_of_another_model_is_refused(tmp_path: Path, lm: NativeLM) -> None:
    evaluated("dummy", tasks(), use_cache=str(tmp_path / "answers"))
    with pytest.raises(UserError, match="whose answers another model made"):
        evaluated(lm, tasks(), use_cache=str(tmp_path / "answers"))


def test_lm_evals_cache_of_requests_never_gives_rows_of_another_length(
    lm: NativeLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    for length in (256, 512):
        asked = ropepp_eval.lm_eval_tasks("niah_single_1", tokenizer=str(DEMO / "rope"), samples=2, length_tokens=length)
        results = evaluated(lm, asked, cache_requests=True)
        assert {sample["doc"]["length_tokens"] for sample in results["samples"]["niah_single_1"]} == {length}
        assert {len(sample["arguments"][0][0]) > 700 for sample in results["samples"]["niah_single_1"]} == {length == 512}


def test_predict_only_keeps_the_answers_without_scores(lm: NativeLM) -> None:
    results = evaluated(lm, tasks(), predict_only=True)
    assert [sample["metrics"] for sample in results["samples"][TASK]] == [["bypass"], ["bypass"]]
    assert all(sample["resps"][0][0] for sample in results["samples"][TASK])


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ({"num_fewshot": 2}, "--num_fewshot does not go with task niah_single_1@256"),
        ({"system_instruction": "Be brief."}, "--system_instruction does not go with task niah_single_1@256"),
        ({"apply_chat_template": True}, "--apply_chat_template"),
        ({"samples": {TASK: [1, 0]}}, r"--samples names rows \[1, 0\] of niah_single_1@256; .* in rising order"),
        ({"samples": {TASK: [-1]}}, r"--samples names rows \[-1\]"),
    ],
)
def test_switches_that_would_change_rows_are_refused_from_python_too(
    lm: NativeLM, switch: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        evaluated(lm, tasks(), **switch)


@pytest.fixture(scope="module")
def written(lm: NativeLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm-eval's own files of one task at two lengths, named by TASK@LENGTH, and at a third by metadata."""
    folder = tmp_path_factory.mktemp("written")
    by_metadata = ropepp_eval.lm_eval_tasks("niah_single_2", tokenizer=str(DEMO / "rope"), samples=2, length_tokens=400)
    for asked in (tasks("niah_single_1", "256", "512"), by_metadata):
        tracker = EvaluationTracker(output_path=str(folder))
        results = evaluated("ropepp", asked, model_args={"pretrained": str(DEMO / "rope")}, evaluation_tracker=tracker)
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for name in results["configs"]:
            tracker.save_results_samples(task_name=name, samples=samples[name])
    return folder


@pytest.mark.parametrize("rows", [True, False])
def test_results_of_our_tasks_stand_at_their_length_and_benchmark(written: Path, tmp_path: Path, rows: bool) -> None:
    import shutil

    folder = Path(shutil.copytree(written, tmp_path / "results"))
    if not rows:
        for file in folder.rglob("samples_*"):
            file.unlink()
    frame = read_results(folder)
    found = {(line.benchmark, line.task, line.length_tokens, line.protocol, line.rows) for line in frame.itertuples()}
    lengths = {("niah_single_1", 256), ("niah_single_1", 512), ("niah_single_2", 400)}
    assert found == {("ruler", task, length, "reference", 2) for task, length in lengths}


def test_rows_that_lm_eval_asked_are_the_rows_of_a_run(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "run",
                str(DEMO / "rope"),
                "--tasks",
                "niah_single_1",
                "--lengths",
                "256,512",
                "--samples",
                "2",
                "--out",
                str(tmp_path / "run"),
            ]
        )
        == 0
    )
    capsys.readouterr()
    rows = read_rows(written, tmp_path / "run")
    assert len(rows[rows["task"] == "niah_single_1"]) == 4, "merged: each row once"
    assert main(["table", str(written), str(tmp_path / "run"), "--strict"]) == 0
    assert "any" not in capsys.readouterr().out.splitlines()[1]
