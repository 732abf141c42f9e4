"""Text tables fit the width they are given, and lose nothing by it; without a width every line is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from ropepp_eval.cli import main
from ropepp_eval.reports.table import Entry, Line, Section, Show, Table
from ropepp_eval.reports.text import plain_text
from tests.reports.results_folders import FakeCell, write_run

RULER = ["niah_single_1", "niah_multikey_3", "niah_multivalue", "qa_hotpotqa", "vt", "cwe"]
COMMANDS = [
    ["table", "--layout", "lengths", "--ci", "--counts", "rows,failed,cut,fill"],
    ["table", "--layout", "tasks", "--ci"],
    ["table", "--layout", "depth"],
    ["table", "--layout", "paper2", "--compare", "published"],
]


@pytest.fixture
def run(tmp_path) -> Path:
    cells = [
        FakeCell(checkpoint=name, task=task, length_tokens=2048 << i, scores=[1.0] * (9 - i) + [0.0], depths=[5.0 * i] * 10)
        for name in ("rope", "organisation/ropepp-ec-776M-long-context-32k", "\u957f\u4e0a\u4e0b\u6587\u6a21\u578b")
        for task in RULER
        for i in range(6)
    ]
    return write_run(tmp_path / "run", cells)


@pytest.fixture
def text(run, capsys, monkeypatch):
    def printed(command: list[str], width: int | None) -> str:
        monkeypatch.delenv("COLUMNS", raising=False)
        if width:
            monkeypatch.setenv("COLUMNS", str(width))
        assert main([*command, str(run)]) == 0
        return str(capsys.readouterr().out)

    return printed


def values(said: str) -> list[str]:
    return sorted(re.findall(r"\d+\.\d[*+]?(?= |$)", said, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_width_and_no_value_is_lost(text, command, width):
    folded, whole = text(command, width), text(command, None)
    assert max(map(cell_len, folded.splitlines())) <= width
    assert max(map(cell_len, whole.splitlines())) > 120
    plain = [part for part in command if not part.startswith(("--ci", "--counts", "rows,"))]
    assert values(text(plain, width)) == values(text(plain, None))


def test_a_width_that_holds_a_table_leaves_it_as_it_is(text):
    command = ["table", "--layout", "lengths", "--plain"]
    whole = text(command, None)
    table = whole[: whole.index("\n\naverage:")]
    assert text(command, max(map(cell_len, table.splitlines()))).startswith(table)


def test_lengths_stay_columns_and_intervals_go_below_their_values_at_80(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lengths = [2048 << i for i in range(6)]
    cells = [FakeCell(checkpoint=name, length_tokens=n) for name in ("rope", "ropepp_ec") for n in lengths]
    assert main(["table", "--ci", str(write_run(tmp_path / "run", cells))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["checkpoint", "2k", "4k", "8k", "16k", "32k", "64k", "average", "n"]
    assert lines[3:6] == ["niah_single_1", lines[4], lines[5]]
    assert lines[4].split() == ["rope", *["75.0"] * 7, "24"]
    assert lines[5].split()[:6] == ["30-96"] * 6  # Wilson's 30.06 to 95.44, rounded outward


@pytest.mark.parametrize(("interval", "shown"), [((-2.71, 22.3), "-3 to 23"), ((0.0, 100.0), "0-100"), ((3.0, 7.0), "3-7")])
def test_a_short_interval_is_rounded_outward(interval, shown):
    entry = Entry(value=5.0, interval=interval, rows=4)
    section = Section("t", {}, ("checkpoint",), ("2k",), (Line(("x" * 30,), (entry,)),), (None,))
    assert shown in plain_text(Table((section,)), Show(intervals=True, width=44)).split("\n")[4].strip()
