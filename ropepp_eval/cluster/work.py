"""The rows of a plan that have no answer yet: cut into slices, handed out, given back when a worker is lost, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropepp_eval.cluster.library import require_ray
from ropepp_eval.cluster.slices import Item, Queue, cut
from ropepp_eval.rows.row import Row, row_from_doc

if TYPE_CHECKING:
    from ropepp_eval.runs.answering import Pending
    from ropepp_eval.runs.forecast import Forecaster
    from ropepp_eval.runs.plan import Cell, Plan

MOST_LOSSES = 3
"""A row that so many workers were lost over is answered by none."""


@dataclass(frozen=True, eq=False)
class Slice:
    """Some rows of a cell."""

    cell: Cell
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        return self.cell.checkpoint.label


class Work:
    """What is left to do."""

    def __init__(self, plan: Plan, pending: Sequence[Pending], workers: int, forecaster: Forecaster) -> None:
        self.plan = plan
        self.foreseen: dict[int, float] = {}
        """Seconds that a typical device takes for the rows of a cell, by the `id` of the cell: the unit of all costs here."""
        self._costs: dict[int, dict[int, float]] = {}
        for cell, rows in pending:
            forecast = forecaster.cell(cell, rows)
            seconds = self.foreseen[id(cell)] = forecast.proportion
            self._costs[id(cell)] = {row.row: cost for row, cost in zip(rows, forecast.spread(seconds), strict=True)}
        self.queue: Queue[Slice] = Queue()
        self.unanswered = 0
        self._lost: Counter[tuple[int, int]] = Counter()
        self._asked_rows: dict[str, dict[int, Row]] = {}
        self._open: Counter[str] = Counter()
        self._shipped: dict[str, Any] = {}
        for cell, rows in pending:
            name = _rows_name(cell)
            self._asked_rows.setdefault(name, {}).update({row.row: row for row in rows})
            self._open[name] += len(rows)
            self.unanswered += len(rows)
        for number, stretch in cut([list(self._costs[id(cell)].values()) for cell, _ in pending], workers):
            cell, rows = pending[number]
            self._put(cell, [rows[place] for place in stretch])

    def cost(self, slice_: Slice, numbers: Iterable[int]) -> float:
        """Of the rows of the slice with these numbers, in seconds of a typical device."""
        costs = self._costs[id(slice_.cell)]
        return sum(costs[number] for number in numbers)

    def take(self, loaded: str | None, holders: Mapping[str, int], load_cost: float) -> Slice | None:
        """See `Queue.take`."""
        item = self.queue.take(loaded, holders, load_cost)
        return None if item is None else item.what

    def back(self, slice_: Slice) -> None:
        """Nobody was asked it after all."""
        self._put(slice_.cell, slice_.rows)

    def lost(self, slice_: Slice, numbers: Iterable[int]) -> list[Row]:
        """A worker was lost over these rows. They are asked again one by one, so that one that kills workers is found; those that have
        killed too many are given back to the caller."""
        gone = []
        for row in slice_.rows:
            if row.row not in set(numbers):
                continue
            self._lost[id(slice_.cell), row.row] += 1
            if self._lost[id(slice_.cell), row.row] >= MOST_LOSSES:
                gone.append(row)
            else:
                self._put(slice_.cell, [row])
        return gone

    def answered(self, slice_: Slice) -> None:
        """One row more of it has its answer."""
        name = _rows_name(slice_.cell)
        self.unanswered -= 1
        self._open[name] -= 1
        if not self._open[name]:
            self._shipped.pop(name, None)  # the last reference: Ray frees the memory
            del self._asked_rows[name]

    def shipped(self, cell: Cell) -> tuple[str, Any]:
        """Name and reference of the cell's rows in Ray's object store. Checkpoints with one tokenizer share them."""
        name = _rows_name(cell)
        if name not in self._shipped:
            whole = {number: row_from_doc(row.as_doc()) for number, row in self._asked_rows[name].items()}
            self._shipped[name] = require_ray().put(whole)
        return name, self._shipped[name]

    def _put(self, cell: Cell, rows: Sequence[Row]) -> None:
        slice_ = Slice(cell, tuple(rows))
        self.queue.put(Item(slice_, slice_.label, self.cost(slice_, (row.row for row in rows))))


def _rows_name(cell: Cell) -> str:
    return f"{cell.checkpoint.tokenizer.sha256} {cell.task.name} {cell.length_tokens}"
