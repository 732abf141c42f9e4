"""The time left: what was foreseen, corrected by what was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropepp_eval.forecasts.pace import BLIND_SECONDS, Pace, Part, proportion


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


def seconds_left(parts: list[Part], *, measured: bool) -> float | None:
    return Pace(dict(enumerate(parts)), measured=measured).seconds_left


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


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("tu"), st.integers(0, 10), st.floats(0.1, 9)),
        min_size=1,
        max_size=9,
    ),
    st.booleans(),
)
def test_parts_that_change_on_the_way_come_to_what_they_are_at_the_end(
    found: list[tuple[str, str, int, float]], measured: bool
) -> None:
    parts = [part(task, 10.0, done=done, seconds=done * each, checkpoint=name) for name, task, done, each in found]
    pace = Pace(
        {number: part(one.task, 70.0, checkpoint=one.checkpoint) for number, one in enumerate(parts)}, measured=measured
    )
    for number, one in enumerate(parts):
        pace[number] = one
    wanted = seconds_left(parts, measured=measured)
    assert pace.seconds_left == (None if wanted is None else pytest.approx(wanted))


def test_silence_is_five_times_what_was_seen_of_the_like() -> None:
    pace = Pace({0: part("vt", 2.0), 1: part("vt", 200.0), 2: part("vt", 200.0, checkpoint="b")}, measured=False)
    assert pace.factor() is None
    assert pace.longest_silence(1, 1.0) == BLIND_SECONDS
    assert pace.longest_silence(1, BLIND_SECONDS) > BLIND_SECONDS, "a row that is foreseen to take an hour may take more"
    pace[0] = part("vt", 2.0, done=10, seconds=1.0)
    assert pace.factor() == pace.factor(1) == pace.factor(2) == 0.5
    assert pace.longest_silence(1, 200.0) == 500.0
    pace[2] = part("vt", 200.0, done=5, seconds=200.0, checkpoint="b")
    assert (pace.factor(1), pace.factor(2)) == (0.5, 2.0)


def test_lengths_alone_give_proportions() -> None:
    assert proportion(10, 8192) / proportion(10, 4096) == pytest.approx(2 * 2 / 1.5)
