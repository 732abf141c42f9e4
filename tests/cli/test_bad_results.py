"""What can be wrong with results, by the command line: refused in one line with status 2, or shown with what is missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from tests.reports.results_folders import FakeCell, rows_file, write_run

COMMANDS = [["table"], ["table", "--layout", "paper2"], ["plot"], ["compare", "a", "b"]]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that `ropepp-eval` prints for these arguments; nothing else, and status 2."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What `ropepp-eval` prints for these arguments with status 0."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def two_runs(folder: Path, **change: object) -> tuple[Path, Path]:
    """Runs of checkpoints a and b; the second differs in `change`."""
    one = write_run(folder / "one", [FakeCell(checkpoint="a")])
    return one, write_run(folder / "two", [FakeCell(checkpoint="b", **change)])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("made", [True, False])
def test_an_empty_or_missing_folder(
    command: list[str], made: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if made:
        (tmp_path / "empty").mkdir()
    said = refusal(capsys, *command, tmp_path / "empty")
    assert f"results folder {tmp_path / 'empty'} " in said
    assert ("holds no run.json" if made else "is not there") in said
    assert "ropepp-eval run --out" in said


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"protocol": "paper"}, "protocols reference and paper"),
        ({"seed": 7}, "seeds 42 and 7"),
        ({"tokenizer": "other"}, "tokenizers "),
        ({"task": "vt"}, "tasks niah_single_1 and vt"),
        ({"length_tokens": 8192}, "lengths 4096 and 8192"),
        ({"scores": [None] * 4}, "every common row failed in one of them"),
        ({"scores": []}, "b has no rows to compare"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_checkpoints_that_can_not_be_compared_name_their_difference(
    change: dict[str, object], difference: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference in refusal(capsys, "compare", "a", "b", *two_runs(tmp_path, **change))


def test_other_row_sets_are_compared_on_their_common_rows_with_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = two_runs(tmp_path, scores=[1.0, 0.0, None, 1.0, 1.0, 1.0])
    out = shown(capsys, "compare", "a", "b", *runs, "--format", "json")
    (line,) = json.loads(out)["sections"][0]["lines"]
    assert (line["entries"]["rows"]["value"], line["entries"]["unpaired"]["value"]) == (3, 3)


def test_significance_between_other_seeds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = two_runs(tmp_path, seed=7, scores=[0.0] * 4)
    assert "seeds" in refusal(capsys, "table", *runs, "--significant")
    assert "not a like-for-like comparison: seeds 42 and 7" in shown(capsys, "table", *runs)


def test_one_cell_in_two_runs_that_disagree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one", [FakeCell(scores=[1.0, 0.0])], created="2026-01-01")
    two = write_run(tmp_path / "two", [FakeCell(scores=[1.0, 1.0])], created="2026-01-02", dtype="bfloat16")
    said = refusal(capsys, "table", one, two)
    assert "rope, niah_single_1 at 4k, protocol reference" in said
    assert "disagree on row 1 (dtype float32 and bfloat16)" in said
    assert "--latest" in said
    assert "100.0" in shown(capsys, "table", one, two, "--latest")


def test_a_damaged_file_is_named_and_the_rest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [FakeCell(checkpoint="a"), FakeCell(checkpoint="b")]
    run = write_run(tmp_path / "run", cells)
    rows_file(run, cells[0]).write_bytes(b"\x00\xff\n" + rows_file(run, cells[0]).read_bytes())
    bad = write_run(tmp_path / "bad", [FakeCell(checkpoint="c")])
    (bad / "run.json").write_text("{")
    out = shown(capsys, "table", run, bad)
    assert "niah_single_1@4096.jsonl, line 1: not JSON" in out
    assert "bad/run.json: not readable" in out
    assert "b" in out
    assert "bad/run.json: not readable" in refusal(capsys, "table", bad)
    assert "tied" in shown(capsys, "compare", "a", "b", run)


def test_one_row_has_no_interval_and_no_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [FakeCell(checkpoint=name, scores=[1.0]) for name in "ab"])
    assert " to " not in shown(capsys, "table", run, "--ci")
    assert "not tested (one row)" in shown(capsys, "compare", "a", "b", run)
    assert len(shown(capsys, "plot", run, "--out", tmp_path / "plots").splitlines()) == 2


def test_rows_that_all_failed_leave_the_cell_empty_with_their_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", [FakeCell(scores=[None, None, None])])
    out = shown(capsys, "table", run, "--counts", "failed")
    assert "(failed 3)" in out
    assert "3 failed rows left out of every value" in out
    assert "0.0" not in out
    assert "no cell of these runs has a score" in refusal(capsys, "plot", run, "--out", tmp_path / "plots")


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [FakeCell(scores=[1.0, math.nan, math.inf, 0.0])])
    out = shown(capsys, "table", run, "--ci", "--counts", "rows,failed")
    assert "50.0 (" in out
    assert "n 2; failed 2" in out
    assert "2 rows whose score is not finite left out" in out
    assert "nan" not in out.lower()
    assert "NaN" not in shown(capsys, "table", run, "--format", "json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table", "--layout", "paper9"], "unknown layout 'paper9'; did you mean paper"),
        (["table", "--format", "tex"], "unknown format 'tex'"),
        (["table", "--metric", "accuracy"], "no cell has the metric 'accuracy'; known: score"),
        (["table", "--compare", "published"], "layout lengths has no published counterpart"),
        (["table", "--layout", "paper2", "--as", "a=1"], "--as 'a=1' does not fit paper2"),
        (["plot", "--kind", "heat"], "unknown kind 'heat'"),
        (["plot", "--format", "pdf"], "unknown picture format 'pdf'"),
        (["compare", "a", "c"], "unknown checkpoint 'c'"),
        (["compare", "a", "a"], "can't be compared with itself"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_exist(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, *arguments, *two_runs(tmp_path))


def test_the_published_tables_are_checked_by_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'chek'" in refusal(capsys, "published", "chek")
    assert "6 of 54 printed averages differ" in shown(capsys, "published", "check")
