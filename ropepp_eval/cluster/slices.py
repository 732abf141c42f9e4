"""Slices: what a worker is asked at once; and which one it is given next. No Ray, no clock: a run and its simulation use the same rules."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

SMALLEST_SHARE = 1 / 20
"""Of an even share of the whole work: the last slices are that small, so that the last worker to end is at most 5 % of the mean behind."""
T = TypeVar("T")


@dataclass(frozen=True)
class Item(Generic[T]):
    """One slice of a cell's rows."""

    what: T
    checkpoint: str
    cost: float
    """In seconds of one device, whichever it is."""


def cut(cells: Sequence[Sequence[float]], workers: int) -> Iterator[tuple[int, range]]:
    """Slices of all cells, the costliest cell first: (number of the cell, stretch of its rows).

    A slice costs half of what is left for each worker, down to `SMALLEST_SHARE`; a row that costs more is alone. Large ones come first because
    rows of one slice are written side by side, which takes less time than one by one.

    Args:
        cells: costs of the rows of each cell.
        workers: how many share them.

    >>> [(number, len(stretch)) for number, stretch in cut([[1] * 32, [1] * 8], 2)]
    [(0, 10), (0, 7), (0, 5), (0, 4), (0, 3), (0, 2), (0, 1), (1, 2), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]
    """
    whole = left = float(sum(map(sum, cells)))
    for number in sorted(range(len(cells)), key=lambda place: -sum(cells[place])):
        begin, size = 0, 0.0
        for row, cost in enumerate(cells[number]):
            if row > begin and size + cost > max(left / 2, whole * SMALLEST_SHARE) / workers:
                yield number, range(begin, row)
                begin, left, size = row, left - size, 0.0
            size += cost
        if begin < len(cells[number]):
            yield number, range(begin, len(cells[number]))
            left -= size


class Queue(Generic[T]):
    """Items that nobody has yet, by checkpoint, the longest first."""

    def __init__(self, items: Iterable[Item[T]] = ()) -> None:
        self._waiting: dict[str, list[Item[T]]] = {}
        self._left: dict[str, float] = {}
        for item in items:
            self.put(item)

    def put(self, item: Item[T]) -> None:
        """One more, or one back."""
        bisect.insort(self._waiting.setdefault(item.checkpoint, []), item, key=lambda one: one.cost)
        self._left[item.checkpoint] = self._left.get(item.checkpoint, 0.0) + item.cost

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self, loaded: str | None, holders: Mapping[str, int], load_cost: float) -> Item[T] | None:
        """What a worker that is free does next; None where it is better off waiting.

        It keeps its checkpoint while there is work for it. Else it loads the one with the most work for each worker that has it, where
        one more worker ends that work sooner in spite of loading.

        Args:
            loaded: the checkpoint that the worker has.
            holders: how many workers have each checkpoint, or load it.
            load_cost: what loading takes, in the unit of the items.
        """
        if loaded is not None and self._waiting.get(loaded):
            return self._pop(loaded)
        open_ = [name for name, items in self._waiting.items() if items]
        worth = [name for name in open_ if self._left[name] > load_cost * holders.get(name, 0)]
        if not worth:
            return None
        return self._pop(max(worth, key=lambda name: self._left[name] / (1 + holders.get(name, 0))))

    def _pop(self, checkpoint: str) -> Item[T]:
        item = self._waiting[checkpoint].pop()
        self._left[checkpoint] -= item.cost
        return item
