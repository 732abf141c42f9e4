"""lm-eval's files, read back by our own reader: the same cells, numbers and rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from ropepp_eval.cli import main
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.frame import RESULT_COLUMNS, read_results
from ropepp_eval.reports.measures import Part, measure_interval
from ropepp_eval.reports.row_frame import row_frame
from ropepp_eval.reports.row_views import row_views
from tests.reports.share.conftest import json_lines, share

CELL = ["checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol", "metric"]
NOT_KEPT = ("run", "failed", "not_finite", "planned", "seed", "cut")
"""lm-eval's form has no place for them; `fill` needs a length's ledger, which is kept."""


def by_cell(frame: pandas.DataFrame) -> pandas.DataFrame:
    kept = [name for name in RESULT_COLUMNS if name not in NOT_KEPT]
    return frame[frame["value"].notna()][kept].sort_values(CELL).set_index(CELL)


def test_the_same_numbers_lengths_and_benchmarks_come_back(run: Path, tmp_path: Path) -> None:
    out = share(run, "lm-eval", tmp_path / "lm-eval")
    pandas.testing.assert_frame_equal(by_cell(read_results(out)), by_cell(read_results(run)))
    orders = [list(dict.fromkeys(cell.name.checkpoint for cell in read_cells(folder).cells)) for folder in (run, out)]
    assert orders[1] == orders[0][:-1]
    assert len(by_cell(read_results(out))) == 5  # the cell whose rows all failed has no value


def test_the_same_intervals_come_back(run: Path, tmp_path: Path) -> None:
    out = share(run, "lm-eval", tmp_path / "lm-eval")
    intervals = [
        {cell.name: measure_interval((Part(1.0, cell, cell.primary),)) for cell in read_cells(folder).cells}
        for folder in (run, out)
    ]
    assert {name: intervals[0][name] for name in intervals[1]} == intervals[1]


def test_the_same_rows_come_back(run: Path, tmp_path: Path) -> None:
    out = share(run, "lm-eval", tmp_path / "lm-eval")
    kept = [
        "checkpoint",
        "task",
        "length_tokens",
        "row",
        "outcome",
        "score",
        "question",
        "depths",
        "prompt_tokens",
        "row_sha256",
    ]
    kept += ["cluster", "stand_in", "seconds", "finish"]
    frames = [row_frame(row_views(read_cells(folder)))[kept] for folder in (run, out)]
    keys = ["checkpoint", "task", "length_tokens", "row"]
    answered = frames[0][frames[0]["outcome"] != "failed"]
    pandas.testing.assert_frame_equal(
        frames[1].sort_values(keys).reset_index(drop=True), answered.sort_values(keys).reset_index(drop=True)
    )


def test_what_comes_back_merges_with_the_run_itself(run: Path, tmp_path: Path) -> None:
    out = share(run, "lm-eval", tmp_path / "lm-eval", "--checkpoint", "rope")
    both, alone = by_cell(read_results(run, out)), by_cell(read_results(run))
    pandas.testing.assert_frame_equal(both.drop(columns="fill"), alone.drop(columns="fill"))


def test_prompts_are_there_only_when_asked_for(run: Path, tmp_path: Path, shared: object) -> None:
    from ropepp_eval.reports.share.lm_eval_files import write_lm_eval

    out = share(run, "lm-eval", tmp_path / "out")
    assert not any(line["arguments"] for path in out.rglob("samples_*") for line in json_lines(path))
    (tmp_path / "with").mkdir()
    write_lm_eval(shared, tmp_path / "with")  # type: ignore[arg-type]
    prompts = {
        line["arguments"]["gen_args_0"]["arg_0"]  # type: ignore[index]
        for path in (tmp_path / "with").rglob("samples_*")
        for line in json_lines(path)
    }
    assert r"prompt 0 \ud800" in prompts


@pytest.mark.parametrize("change", [{"length_tokens": -1}, {"benchmark": 7}, {"task": None}])
def test_a_wrong_note_of_ours_is_refused_in_one_line(
    change: dict[str, object], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = share(run, "lm-eval", tmp_path / "out", "--checkpoint", "rope")
    for path in out.rglob("results_*.json"):
        content = json.loads(path.read_text())
        for config in content["configs"].values():
            config["metadata"]["row_task"] |= change
        path.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["table", str(out)]) == 2
    assert f"metadata.row_task.{next(iter(change))}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", "../up", "..", "x\0y", "y" * 300])
def test_a_task_whose_name_no_file_can_have_has_its_value(name: str, tmp_path: Path) -> None:
    content = {"results": {name: {"acc,none": 0.5}}, "configs": {name: {}}, "config": {}, "model_name": "m"}
    (tmp_path / "results_1.json").write_text(json.dumps(content))
    assert read_results(tmp_path)[["task", "value"]].values.tolist() == [[name, 0.5]]
