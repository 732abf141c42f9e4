"""Slices, the order in which they are given out, and what a schedule comes to: pure rules, without Ray."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropepp_eval.cluster.simulation import CellCost, simulate, slices_of
from ropepp_eval.cluster.slices import Item, Queue, cut

COSTS = st.lists(st.floats(0.1, 100), min_size=1, max_size=40)


@given(st.lists(COSTS, max_size=5), st.integers(1, 9))
def test_stretches_are_whole_and_no_larger_than_a_share(cells: list[list[float]], workers: int) -> None:
    slices = list(cut(cells, workers))
    for number, costs in enumerate(cells):
        rows = itertools.chain(*(stretch for cell, stretch in slices if cell == number))
        assert list(rows) == list(range(len(costs)))
    whole = left = sum(map(sum, cells))
    for cell, stretch in slices:
        cost = sum(cells[cell][place] for place in stretch)
        assert len(stretch) == 1 or cost <= max(left / 2, whole / 20) / workers * (1 + 1e-9)
        left -= cost


def test_no_rows_are_no_slices() -> None:
    assert list(cut([], 5)) == list(cut([[]], 5)) == []


def test_the_longest_comes_first_and_a_worker_keeps_its_checkpoint() -> None:
    queue = Queue([Item("a", "x", 1), Item("b", "x", 3), Item("c", "y", 9), Item("d", "x", 2)])
    taken = [queue.take("x", Counter(x=1), load_cost=0) for _ in range(4)]
    assert [item.what for item in taken if item] == ["b", "d", "a", "c"]
    assert queue.take("x", Counter(), 0) is None
    assert len(queue) == 0


def test_a_checkpoint_is_loaded_only_where_that_ends_its_work_sooner() -> None:
    """Two workers share 10 of work: a third that loads for 4 helps; one that loads for 6 comes when they are done."""
    items = [Item(number, "x", 1.0) for number in range(10)]
    assert Queue(items).take("y", Counter(x=2), load_cost=6) is None
    assert Queue(items).take("y", Counter(x=2), load_cost=4) is not None
    assert Queue(items).take("y", Counter(x=0), load_cost=99) is not None, "nobody else does it"


def test_the_first_workers_spread_over_the_checkpoints_by_work() -> None:
    queue = Queue(
        Item(number, name, 1.0) for name, many in (("big", 60), ("mid", 30), ("small", 2)) for number in range(many)
    )
    holders: Counter[str] = Counter()
    for _ in range(9):
        item = queue.take(None, holders, load_cost=0)
        assert item is not None
        holders[item.checkpoint] += 1
    assert (holders["big"], holders["mid"], holders["small"]) == (6, 3, 0)


def zoo(rows: int) -> list[CellCost]:
    """Three checkpoints, lengths 4k to 64k; a row of twice the length takes three times as long."""
    return [
        CellCost(name, [size * 3**step] * rows)
        for name, size in (("a", 0.1), ("b", 0.2), ("c", 0.4))
        for step in range(5)
        for _ in range(13)
    ]


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
def test_the_last_worker_ends_within_five_percent_of_the_mean(workers: int) -> None:
    schedule = simulate(zoo(100), workers, load_seconds=30)
    assert schedule.last_over_mean < 0.05
    assert schedule.utilisation > 0.9
    assert schedule.busy_seconds == pytest.approx(sum(sum(cell.rows_seconds) for cell in zoo(100)))
    assert schedule.gpu_hours == pytest.approx(schedule.makespan_seconds * workers / 3600)


@given(st.lists(COSTS, min_size=1, max_size=4), st.integers(1, 12), st.floats(0, 20))
def test_a_schedule_answers_every_row_once_and_is_never_too_good(rows: list[list[float]], workers: int, load: float) -> None:
    cells = [CellCost(f"c{number % 3}", costs) for number, costs in enumerate(rows)]
    schedule = simulate(cells, workers, load)
    total = sum(map(sum, rows))
    assert schedule.busy_seconds == pytest.approx(total)
    assert schedule.loads >= len({cell.checkpoint for cell in cells})
    assert schedule.load_seconds == pytest.approx(schedule.loads * load)
    assert schedule.makespan_seconds >= total / workers + load - 1e-6
    assert schedule.makespan_seconds <= total + schedule.loads * load + 1e-6
    assert 0 < schedule.utilisation <= 1


def test_one_worker_loads_each_checkpoint_once() -> None:
    schedule = simulate(zoo(3), 1, {"a": 1.0, "b": 2.0, "c": 4.0})
    assert (schedule.loads, schedule.load_seconds) == (3, 7.0)
    assert schedule.makespan_seconds == pytest.approx(schedule.busy_seconds + 7)


def test_the_first_slices_are_large_and_the_last_a_twentieth_of_a_share() -> None:
    """Within one cell; cells are never joined."""
    costs = [item.cost for item in slices_of([CellCost("a", [1.0] * 800)], 8)]
    assert costs == sorted(costs, reverse=True)
    assert (costs[0], costs[-1]) == (50, 5)


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        simulate(zoo(1), 0, 1)
