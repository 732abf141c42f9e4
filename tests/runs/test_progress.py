"""What is printed while a run works, where standard error is no terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ropepp_eval.runs import progress
from ropepp_eval.runs.progress import Building, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that stands still until it is set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_slow_plan_says_now_and_then_where_it_is(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Building() as building:
        building.begin(4)
        for number, seconds in enumerate([1, 5, 1, 1]):
            building.cell(f"vt at {number}k")
            clock.now += seconds
            building.done(1000)
    assert capsys.readouterr().err == "  building rows: cell 3 of 4 (vt at 2k), 2,000 rows so far\n"


def test_the_time_of_a_cell_is_its_wall_time(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of rows that run side by side each has a share only; what the cell took is what the clock says."""
    row = SimpleNamespace(prompt_tokens=10, max_new_tokens=2)
    cell: Any = SimpleNamespace(
        checkpoint=SimpleNamespace(label="tiny"), task=SimpleNamespace(name="vt"), length_tokens=2048, rows=[row] * 4
    )
    plan: Any = SimpleNamespace(cells=[cell])
    with Progress(plan, {id(cell): [row, row]}) as shown:
        clock.now += 30  # loading the checkpoint
        shown.asking(cell)
        for seconds in (16, 0.5):
            clock.now += seconds
            shown.row_done(cell, {"seconds": 8.25, "error": None, "prompt_tokens": 10, "budget": 2})
    assert capsys.readouterr().err == "  tiny vt 2k: 2 rows in 16.5 s\n"
