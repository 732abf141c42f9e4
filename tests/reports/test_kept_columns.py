"""Columns of rows say what their records say, read from the lines or from what was kept, whatever befell what was kept."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.records import CELL_FIELDS, line_of, parse_lines
from ropepp_eval.reports import kept_columns, reading
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, read_cells, scores_of
from ropepp_eval.reports.frame import results_frame
from tests.stored import record

RULES = {"mean": "mean", "perplexity": "window_perplexity"}


@pytest.fixture(autouse=True)
def _kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, written just now, are kept too."""
    monkeypatch.setattr(kept_columns, "WORTH_BYTES", 0)
    monkeypatch.setattr(kept_columns, "SETTLED_SECONDS", -60.0)


def drawn_record(stream: random.Random, checkpoint: str, task: str, length: int, row: int) -> dict[str, Any]:
    """A row with anything that a row may have."""
    mean = stream.choice([0.0, 1.0, 1, 0.25, None, stream.random()])
    scores = {"mean": mean, "perplexity": stream.choice([[stream.random(), 5], [3.5, 2.0], None])}
    failed = stream.random() < 0.1
    more = {"scorer_sha256": stream.choice("ab") * 64} if stream.random() < 0.5 else {}
    return record(
        f"{checkpoint}{task}{length}{row}", checkpoint=checkpoint, checkpoint_sha256=checkpoint * 64, task=task, length_tokens=length, row=row,
        row_sha256=f"{task}{length}{row}" + stream.choice(["", "\ud800"]), seed=stream.choice([42, 43, None]),
        tokenizer_sha256=stream.choice(["1" * 64, None]), prompt_tokens=stream.choice([None, 100, 4000]), budget=stream.choice([None, 64]),
        cut=stream.choice([False, True, 3]), stand_in=stream.random() < 0.2, cluster=stream.choice(["", "d1", "d2\udfff"]),
        references=[str(stream.randrange(3))], scores=None if failed else {name: score for name, score in scores.items() if stream.random() < 0.9},
        error={"stage": "model", "type": "E", "message": "no"} if failed else None, **more,
    )  # fmt: skip


def drawn_run(folder: Path, seed: int) -> Path:
    """Cells in files of their own, lines out of order, done again, damaged, of another cell."""
    stream = random.Random(seed)
    cells = [(checkpoint, task, length) for checkpoint in "ab" for task in ("t1", "t2") for length in (2048, 4096)]
    for checkpoint, task, length in cells:
        lines = [line_of(drawn_record(stream, checkpoint, task, length, row)) for row in stream.sample(range(40), 30)]
        lines += [
            line_of(drawn_record(stream, checkpoint, task, length, stream.randrange(40)))
            for _ in range(stream.choice([0, 5]))
        ]
        if stream.random() < 0.5:
            lines.insert(stream.randrange(len(lines)), stream.choice([b"junk\n", b"{}\n", lines[0][:-9] + b"\n", b"\n"]))
        if stream.random() < 0.3:
            lines.append(line_of(drawn_record(stream, checkpoint, "t3", length, stream.randrange(9))))
        path = folder / "rows" / f"{checkpoint}-{checkpoint * 8}" / f"{task}@{length}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines) + stream.choice([b"", lines[0][:50]]))
    metrics = {name: {"aggregation": rule, "higher_is_better": True, "scale": 1.0} for name, rule in RULES.items()}
    tasks = {task: {"benchmark": "ruler", "primary": "mean", "metrics": metrics} for task in ("t1", "t2", "t3")}
    (folder / "run.json").write_text(json.dumps({"format": 2, "run_id": "drawn", "tasks": tasks, "cells": []}))
    return folder


def slowly(folder: Path) -> dict[tuple[Any, ...], dict[int, Mapping[str, Any]]]:
    """Rows by cell and number, line by line."""
    found: dict[tuple[Any, ...], dict[int, Mapping[str, Any]]] = {}
    for path in sorted(folder.glob("rows/*/*.jsonl")):
        for row in parse_lines(path.read_bytes())[0]:
            kept = found.setdefault(tuple(row[field] for field in CELL_FIELDS), {})
            before = kept.get(row["row"])
            if before is None or row["error"] is None or before["error"] is not None:
                kept[row["row"]] = row
    return found


def check_cell(cell: Cell, rows: list[Mapping[str, Any]]) -> None:
    """The cell says of these rows what a loop over them says."""
    assert list(cell.rows) == rows
    assert cell.failed == sum(row["error"] is not None for row in rows)
    assert set(cell.seeds) == {row["seed"] for row in rows} - {None}
    assert cell.rows.cut == sum(bool(row["cut"]) for row in rows)
    assert cell.rows.stand_in == any(row["stand_in"] for row in rows)
    tokens = [row["prompt_tokens"] + (row["budget"] or 0) for row in rows if row["prompt_tokens"] is not None]
    fits = bool(tokens) and max(tokens) <= cell.name.length_tokens
    assert cell.fill == (sum(tokens) / len(tokens) / cell.name.length_tokens if fits else None)
    scorers = {row.get("scorer_sha256") for row in rows if row["scores"] is not None}
    assert cell.rows.values("scorer_sha256", scored=True) == scorers
    assert cell.rows.values("tokenizer_sha256") == {row["tokenizer_sha256"] for row in rows}
    for metric, rule in RULES.items():
        scored = [row for row in rows if row["scores"] is not None and row["scores"].get(metric) is not None]
        scores = [row["scores"][metric] for row in scored]
        found = scores_of(cell, metric)
        assert list(found.scores) == [tuple(score) if isinstance(score, list) else score for score in scores]
        assert found.rows.numbers.tolist() == [row["row"] for row in scored]
        documents = [(row["task"], row["cluster"]) if row["cluster"] else row["row_sha256"] for row in scored]
        same = [[one == other for other in documents] for one in documents]
        numbers = found.rows.clusters.tolist()
        assert [[one == other for other in numbers] for one in numbers] == same
        if scores:
            tops, bottoms = zip(*(score if isinstance(score, list) else (score, 1.0) for score in scores), strict=True)
            ratio = math.fsum(tops) / math.fsum(bottoms)
            assert aggregate(rule, found.scores) == (ratio if rule == "mean" else math.exp(ratio))


@pytest.mark.parametrize("seed", range(6))
def test_columns_say_what_a_loop_over_the_lines_says(tmp_path: Path, seed: int) -> None:
    folder = drawn_run(tmp_path / "run", seed)
    expected = slowly(folder)
    for _ in ("read", "kept"):
        cells = {tuple(cell.name): cell for cell in read_cells(folder).cells}
        assert cells.keys() == expected.keys()
        for name, rows in expected.items():
            check_cell(cells[name], [rows[number] for number in sorted(rows)])


def said(folder: Path) -> tuple[str, tuple[str, ...]]:
    """All that a table is made of, and the damage that it names."""
    cells = read_cells(folder)
    return results_frame(cells).to_csv(), tuple(map(str, cells.damage))


def kept_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("columns/*"))


def no_line(content: bytes) -> Any:
    raise AssertionError("a line was read")


def test_what_is_kept_needs_no_line_and_names_the_same_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = drawn_run(tmp_path / "run", 2)
    before = said(folder)
    assert before[1]
    assert [path.name for path in kept_files(folder)] == ["a-aaaaaaaa.arrow", "b-bbbbbbbb.arrow"]
    monkeypatch.setattr(reading, "parse_lines", no_line)
    assert said(folder) == before


def test_only_a_file_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = drawn_run(tmp_path / "run", 3)
    said(folder)
    path = folder / "rows/a-aaaaaaaa/t1@2048.jsonl"
    new = line_of(drawn_record(random.Random(1), "a", "t1", 2048, 99))
    path.write_bytes(path.read_bytes().rpartition(b"\n")[0] + b"\n" + new)
    read: list[bytes] = []

    def noted(content: bytes) -> Any:
        read.append(content)
        return parse_lines(content)

    monkeypatch.setattr(reading, "parse_lines", noted)
    found = said(folder)
    assert read == [path.read_bytes()]
    (folder / "columns/a-aaaaaaaa.arrow").unlink()
    assert said(folder) == found


def damaged(content: bytes, how: str) -> bytes:
    changed = bytearray(content)
    if how == "flipped":
        changed[len(content) // 2] ^= 4
    return {
        "flipped": bytes(changed),
        "cut": content[: len(content) // 2],
        "empty": b"",
        "of another release": content.replace(b"ropepp-eval ", b"ropepp-eval 0.", 1),
        "text": b"hello\n" * 9,
    }[how]


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "of another release", "text"])
def test_kept_columns_that_cannot_be_used_are_made_anew_and_it_is_said(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = drawn_run(tmp_path / "run", 4)
    before = said(folder)
    file = kept_files(folder)[0]
    whole = file.read_bytes()
    file.write_bytes(damaged(whole, how))
    assert said(folder) == before
    assert "a-aaaaaaaa.arrow can't be used" in caplog.text
    assert file.read_bytes() == whole
    caplog.clear()
    assert said(folder) == before
    assert not caplog.text


def test_a_sealed_file_with_other_columns_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = drawn_run(tmp_path / "run", 4)
    before = said(folder)
    kept_files(folder)[0].write_bytes(kept_columns._sealed(b"no Arrow stream"))
    assert said(folder) == before
    assert "can't be used" in caplog.text


def test_where_nothing_can_be_kept_the_report_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = drawn_run(tmp_path / "run", 5)
    (folder / "columns").write_text("no folder")
    found = said(folder)
    (folder / "columns").unlink()
    monkeypatch.setattr(kept_columns.os, "geteuid", lambda: 54321)  # somebody else's folder
    assert said(folder) == found
    assert not kept_files(folder)
    monkeypatch.undo()  # few rows, and written just now
    assert said(folder) == found
    assert not kept_files(folder)


def test_rows_that_are_gone_when_they_are_asked_for_are_an_error_of_the_users(tmp_path: Path) -> None:
    folder = drawn_run(tmp_path / "run", 0)
    cell = read_cells(folder).cells[0]
    for path in folder.glob("rows/*/*.jsonl"):
        path.write_bytes(b"")
    with pytest.raises(reading.UserError, match="lost rows while it was read; run the command again"):
        list(cell.rows)
