"""The time left: what was foreseen, corrected by what was seen."""

from __future__ import annotations

import pytest

from ropepp_eval.forecasts.pace import Part, proportion, seconds_left


def part(
    task: str, foreseen: float, *, done: int = 0, seconds: float = 0.0, checkpoint: str = "a", begun: float = 0.0
) -> Part:
    return Part(
        checkpoint=checkpoint,
        task=task,
        rows=10,
        foreseen_seconds=foreseen,
        done_rows=done,
        done_seconds=seconds,
        begun_seconds=begun,
    )


def test_before_the_first_row_it_is_the_forecast_where_that_was_measured() -> None:
    parts = [part("vt", 100.0), part("qa", 50.0)]
    assert seconds_left(parts, measured=True) == 150.0
    assert seconds_left(parts, measured=False) is None


def test_nothing_is_left_where_all_is_done() -> None:
    assert seconds_left([part("vt", 100.0, done=10, seconds=300.0)], measured=True) == 0.0


def test_a_task_that_takes_twice_its_forecast_says_so_of_its_other_cells_first() -> None:
    parts = [
        part("vt", 100.0, done=10, seconds=200.0),
        part("vt", 100.0),
        part("qa", 100.0, done=10, seconds=100.0),
        part("qa", 100.0),
    ]
    assert seconds_left(parts, measured=True) == pytest.approx(300.0, rel=0.03)
    assert seconds_left(parts, measured=False) == pytest.approx(300.0)


def test_another_checkpoint_is_foreseen_by_all_that_was_seen() -> None:
    parts = [part("vt", 100.0, done=10, seconds=200.0), part("vt", 100.0, checkpoint="b")]
    assert seconds_left(parts, measured=False) == pytest.approx(200.0)


def test_little_that_was_seen_moves_a_measured_forecast_little() -> None:
    parts = [part("vt", 1000.0, done=1, seconds=1000.0), part("qa", 99_000.0)]
    left = seconds_left(parts, measured=True)
    assert left is not None
    assert 99_000 < left < 3 * 99_000


def test_time_spent_on_rows_that_are_not_done_yet_is_not_left() -> None:
    parts = [part("vt", 100.0, done=1, seconds=10.0, begun=70.0)]
    assert seconds_left(parts, measured=True) == pytest.approx(20.0)


def test_lengths_alone_give_proportions() -> None:
    assert proportion(10, 8192) / proportion(10, 4096) == pytest.approx(2 * 2 / 1.5)
