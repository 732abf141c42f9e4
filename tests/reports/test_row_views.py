"""Rows as people look at them: what counts as right, what was answered, and the same lines as text, JSON, CSV and Parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from rich.cells import cell_len

from ropepp_eval.cli import main, rows, table
from ropepp_eval.records import line_of
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.row_frame import COLUMNS, as_csv, as_parquet, row_frame
from ropepp_eval.reports.row_views import RowView, row_views
from tests.cli.test_bad_results import refusal
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, rows_file, write_run


def changed_rows(folder: Path, cell: FakeCell, **changes: list[Any]) -> Path:
    """A run of one cell, its lines with other values: a list a field, one a row."""
    write_run(folder, [cell])
    lines = [cell.line(row) | {name: values[row] for name, values in changes.items()} for row in range(len(cell.scores))]
    rows_file(folder, cell).write_bytes(b"".join(map(line_of, lines)))
    return folder


def views_of(folder: Path, metric: str | None = None) -> list[RowView]:
    return row_views(read_cells(folder), metric)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two checkpoints on the same rows of two tasks: 16 rows, a and b differing on two of them."""
    depths = (5.0, 45.0, 60.0, 95.0)
    cells = [
        FakeCell(checkpoint=name, task=task, length_tokens=length, scores=scores, depths=depths)
        for name, scores in (("a", (1.0, 0.0, 0.5, None)), ("b", (1.0, 1.0, 0.5, 0.0)))
        for task, length in (("niah_single_1", 4096), ("vt", 8192))
    ]
    return write_run(tmp_path / "two", cells)


@pytest.mark.parametrize(
    ("scores", "rule", "expected"),
    [
        ((1.0, 0.0, 0.25, None), {}, ["right", "wrong", "partly", "failed"]),
        ((0.0, 1.0, 0.25), {"higher_is_better": False}, ["right", "wrong", "partly"]),
        ((12.5, [3.0, 2.0]), {"aggregation": "window_perplexity"}, ["scored", "scored"]),
        ((float("nan"), {"other": 1.0}, 7.0), {}, ["unscored", "unscored", "scored"]),
    ],
)
def test_outcomes(scores: tuple[Any, ...], rule: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [FakeCell(scores=scores, rule={"aggregation": "mean", **rule})])
    assert [view.outcome for view in views_of(folder)] == expected


def test_a_perplexity_is_the_rows_own(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [FakeCell(scores=([0.0, 5.0],), rule=PERPLEXITY)])
    assert [view.score for view in views_of(folder)] == [1.0]


@pytest.mark.parametrize(
    ("responses", "choices", "answer", "references"),
    [
        (["the 7\n"], None, "the 7\n", ["7"]),
        ([[-3.0, False], [-1.5, True]], [" red", " blue"], " blue", [" red"]),
        ([[-3.0, False], [-1.5, True]], None, "choice 2 of 2", ["7"]),
        ([[-3.25, False]], [" seven"], "log-likelihood -3.25, not greedy", [" seven"]),
        ([-12.5], None, "log-likelihood -12.5", ["7"]),
        ([None], None, "", ["7"]),
    ],
)
def test_answers_and_references(
    responses: list[Any], choices: list[str] | None, answer: str, references: list[str], tmp_path: Path
) -> None:
    given = {} if choices is None else {"choices": [choices], "gold": [0]}
    (view,) = views_of(changed_rows(tmp_path / "run", FakeCell(scores=(1.0,)), responses=[responses], **given))
    assert (view.answer, view.references) == (answer, references)


def test_a_choice_is_judged_per_token_where_its_row_says_by_how_many(tmp_path: Path) -> None:
    given = {"choices": [[" red", " dark blue"]], "gold": [0], "responses": [[[-3.0, False], [-4.0, False]]]}
    answers = []
    for number, tokens in enumerate(([2, 4], [3, 3], [0, 4], "many", None)):
        details = [{"tokens_of_choices": tokens}]
        (view,) = views_of(changed_rows(tmp_path / str(number), FakeCell(scores=(1.0,)), details=details, **given))
        answers.append(view.answer)
    assert answers == [" dark blue", " red", " red", " red", " red"]


@pytest.mark.parametrize(
    ("details", "depths"),
    [
        ({"depth": 12.5}, [12.5]),
        ({"needles": [{"depth_percent": 3, "queried": True}, {"depth_percent": 9, "queried": False}]}, [3.0]),
        ({"depths": [1, "late", None]}, [1.0]),
        ({"needles": 3}, []),
        ({}, []),
    ],
)
def test_depths_in_whatever_way_a_task_says_them(details: dict[str, Any], depths: list[float], tmp_path: Path) -> None:
    (view,) = views_of(changed_rows(tmp_path / "run", FakeCell(scores=(1.0,)), details=[details]))
    assert view.depths == depths


def test_a_table_names_cells_whose_rows_were_scored_by_several_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, said = (
        FakeCell(scores=(1.0, None, 0.0)),
        "scored by several versions of their scorer, `ropepp-eval rescore` makes them one: niah",
    )
    same = changed_rows(tmp_path / "same", cell, scorer_sha256=["a", "b", "a"])  # what failed was scored by none
    assert said not in printed(table, capsys, same)
    assert said in printed(table, capsys, changed_rows(tmp_path / "mixed", cell, scorer_sha256=["a", "a", "b"]))


def test_numbers_are_of_all_rows_whatever_is_asked_for(two: Path) -> None:
    assert [view.number for view in views_of(two)] == list(range(16))
    line = next(line for line in listed(two, "--checkpoint", "b", "--task", "vt") if line["row"] == 3)
    assert line["number"] == 15


def listed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The rows of `--format json`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["rows", str(folder), "--format", "json", *arguments]) == 0
    return list(json.loads(out.getvalue())["rows"])


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], list(range(16))),
        (["--wrong"], [1, 2, 5, 6, 10, 11, 14, 15]),
        (["--failed"], [3, 7]),
        (["--wrong", "--failed", "--checkpoint", "a"], [1, 2, 3, 5, 6, 7]),
        (["--depth", "40-60", "--task", "niah_single_1"], [1, 2, 9, 10]),
        (["--length", "8k", "--checkpoint", "b", "--limit", "2"], [12, 13]),
        (["--finish", "stop", "--task", "ruler", "--depth", "0-5"], [0, 4, 8, 12]),
        (["--differ", "a", "b", "--length", "4k"], [1, 9, 3, 11]),
        (["--differ", "b", "a", "--failed", "--length", "4k"], [11, 3]),
    ],
)
def test_filters(filters: list[str], numbers: list[int], two: Path) -> None:
    assert [line["number"] for line in listed(two, *filters)] == numbers


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--show", "99"], "--show 99 is no row; the 16 rows here are numbered 0 to 15"),
        (["--task", "vtt"], "unknown task 'vtt'; did you mean vt"),
        (["--length", "2k"], "no row has the length 2048; these results have 4k, 8k"),
        (["--checkpoint", "c"], "unknown checkpoint 'c'"),
        (["--finish", "lenght"], "unknown finish 'lenght'"),
        (["--depth", "60-40"], "--depth '60-40' is no range of depths"),
        (["--depth", "middle"], "such as 40-60"),
        (["--limit", "0"], "--limit 0 is below 1"),
        (["--differ", "a", "a"], "can't be compared with itself"),
        (["--format", "xml"], "unknown format 'xml'"),
        (["--show", "1", "--format", "csv"], "text or json, not as csv"),
        (["--metric", "f1"], "no cell has the metric 'f1'"),
    ],
)
def test_what_can_not_be_asked(arguments: list[str], said: str, two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refusal(capsys, "rows", two, *arguments)


def test_text_fits_80_columns_and_keeps_both_ends_of_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "First of all the text says many things.\n" * 5 + "\x1b[31mSo it is 7."
    changes = {"responses": [[answer], ["東京" * 60]], "references": [["7", "eight or " * 9], ["7"]]}
    folder = changed_rows(tmp_path / "run", FakeCell(scores=(0.0, 1.0), depths=(5.0, 50.0)), **changes)
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(rows, capsys, folder).splitlines()
    assert max(map(cell_len, lines)) <= 80
    first = next(line for line in lines if line.startswith("0"))
    assert "First of all" in first
    assert first.endswith("is 7.")
    assert "\x1b" not in first
    assert lines[0] == "rope, niah_single_1 at 4k (protocol reference): score, 1 of 2 rows right"
    monkeypatch.delenv("COLUMNS")
    assert max(map(cell_len, printed(rows, capsys, folder).splitlines())) <= 120


def test_two_checkpoints_side_by_side(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(rows, capsys, two, "--differ", "a", "b")
    assert "4 of 8 rows that both have differ: a better on 0, b on 2" in text
    assert text.count("failed model (ValueError: made by the test)") == 2


def test_no_row_is_an_answer_too(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(rows, capsys, two, "--wrong", "--depth", "0-1") == "0 rows with --depth 0-1 --wrong, of 16\n"


def test_a_long_list_says_that_it_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", [FakeCell(scores=(1.0,) * 50)])
    assert "the first 40 of them; --limit 50 shows all" in printed(rows, capsys, folder)
    assert "the first" not in printed(rows, capsys, folder, "--limit", "50")


def test_frame_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    cell = FakeCell(scores=(1.0, None, 0.0), depths=(5.0, 50.0, 99.0))
    changes = {"responses": [["=1+1"], ["x"], ["\ud800"]], "question": ["Which number?", "", "Q"]}
    views = views_of(changed_rows(tmp_path / "run", cell, **changes))
    frame = row_frame(views)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["question"].tolist() == ["Which number?", None, "Q"]
    assert frame["score"].isna().tolist() == [False, True, False]
    assert frame["depths"].tolist() == [[5.0], [50.0], [99.0]]
    lines = list(csv.DictReader(io.StringIO(as_csv(views).decode())))
    assert [line["answer"] for line in lines] == ["'=1+1", "x", r"\ud800"]
    assert [json.loads(line["depths"]) for line in lines] == frame["depths"].tolist()
    parquet = pandas.read_parquet(io.BytesIO(as_parquet(views)))
    assert parquet["answer"].tolist() == ["=1+1", "x", r"\ud800"]
    assert [list(one) for one in parquet["depths"]] == frame["depths"].tolist()
    assert json.loads(parquet["scores"][0]) == {"score": 1.0}


def test_parquet_goes_into_a_file(two: Path, tmp_path: Path) -> None:
    assert main(["rows", str(two), "--format", "parquet", "--wrong", "--out", str(tmp_path / "rows.parquet")]) == 0
    assert len(pandas.read_parquet(tmp_path / "rows.parquet")) == 8
