"""How long a run would take on so many workers: the rules of `slices.Queue` played through without anybody working."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ropepp_eval.cluster.slices import Item, Queue, cut


@dataclass(frozen=True)
class CellCost:
    """The rows of one cell as far as time goes."""

    checkpoint: str
    rows_seconds: Sequence[float]
    """Of each row."""


@dataclass(frozen=True)
class Schedule:
    """What a simulated run comes to."""

    makespan_seconds: float
    """From the first load to the last row."""
    busy_seconds: float
    """In which some worker answered rows, all workers together; loading is not among it."""
    loads: int
    """Checkpoints loaded, all workers together."""
    load_seconds: float
    """That these loads took together."""
    workers: int
    last_over_mean: float
    """By how much the last worker ends after the mean of all, as a share of the mean."""

    @property
    def utilisation(self) -> float:
        """Share of the workers' time in which they answer rows (0-1)."""
        whole = self.makespan_seconds * self.workers
        return self.busy_seconds / whole if whole else 1.0

    @property
    def gpu_hours(self) -> float:
        """That the workers are held, times one GPU each."""
        return self.makespan_seconds * self.workers / 3600


def slices_of(cells: Sequence[CellCost], workers: int) -> list[Item[int]]:
    """The slices that a run on so many workers would cut, each by the number of its cell."""
    return [
        Item(number, cells[number].checkpoint, sum(cells[number].rows_seconds[place] for place in stretch))
        for number, stretch in cut([cell.rows_seconds for cell in cells], workers)
    ]


def simulate(cells: Sequence[CellCost], workers: int, load_seconds: float | Mapping[str, float]) -> Schedule:
    """Play a run through.

    Args:
        load_seconds: what loading a checkpoint takes: of all the same, or by name.

    Raises:
        ValueError: there is no worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: at least one is needed")
    loading = load_seconds if isinstance(load_seconds, Mapping) else {cell.checkpoint: load_seconds for cell in cells}
    dearest = max(loading.values(), default=0.0)
    queue = Queue(slices_of(cells, workers))
    free = [(0.0, number) for number in range(workers)]
    has: dict[int, str] = {}
    ended, waiting = [0.0] * workers, []
    busy = loaded_seconds = 0.0
    loads = 0
    while free:
        now, number = heapq.heappop(free)
        ended[number] = now
        item = queue.take(has.get(number), Counter(has.values()), dearest)
        if item is None:  # what is left is with workers that have its checkpoint
            waiting.append(number)
            has.pop(number, None)
            continue
        load = 0.0
        if has.get(number) != item.checkpoint:
            has[number] = item.checkpoint
            load, loads = loading[item.checkpoint], loads + 1
        loaded_seconds += load
        busy += item.cost
        heapq.heappush(free, (now + load + item.cost, number))
    makespan, mean = max(ended), sum(ended) / workers
    return Schedule(makespan, busy, loads, loaded_seconds, workers, makespan / mean - 1 if mean else 0.0)
