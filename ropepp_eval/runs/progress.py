"""What people see while a run works: a bar on a terminal, a line now and then (of rows) or a line a cell (of answers) elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from ropepp_eval.forecasts.pace import Pace, Part, proportion
from ropepp_eval.inert import inert, inert_output, raw_stream
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.row import Row
from ropepp_eval.words import counted, lasting

if TYPE_CHECKING:
    from ropepp_eval.runs.plan import Cell, Plan

_SAY_EVERY_SECONDS = 5.0
_WORTH_SAYING_SECONDS = 60.0
_SHOW_EVERY_SECONDS = 0.5
"""The time left is summed over all cells, of which there may be thousands."""


class Building:
    """Progress over the cells whose rows are built."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(file=raw_stream(sys.stderr), quiet=quiet)
        self._bar = RichProgress(
            TextColumn("building rows: {task.description}"),
            BarColumn(),
            TextColumn("cell {task.fields[cell]} of {task.total:.0f}, {task.fields[rows]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=0, cell=0, rows="")
        self._cells, self._cell, self._rows, self._said = 0, 0, 0, 0.0

    def __enter__(self) -> Building:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, cells: int) -> None:
        """Rows of this many cells are going to be built."""
        self._cells, self._said = cells, time.monotonic()
        self._bar.update(self._task, total=cells)
        self._bar.start()

    def cell(self, name: str) -> None:
        """The rows of a cell are being built."""
        self._cell += 1
        rows = counted(self._rows, "row")
        self._bar.update(self._task, description=_shown(name), cell=self._cell, rows=rows)
        if not self._console.is_terminal and time.monotonic() - self._said >= _SAY_EVERY_SECONDS:
            self._said = time.monotonic()
            said = f"  building rows: cell {self._cell} of {self._cells} ({inert(name)}), {rows} so far"
            self._console.print(said, highlight=False, markup=False, soft_wrap=True)

    def done(self, rows: int) -> None:
        """They are built."""
        self._rows += rows
        self._bar.update(self._task, advance=1, rows=counted(self._rows, "row"))


class Progress:
    """Progress over the rows that are still to do, by the time they take."""

    def __init__(self, plan: Plan, pending: dict[int, list[Row]], *, quiet: bool = False) -> None:
        parts = {
            id(cell): Part(
                checkpoint=cell.checkpoint.label,
                task=cell.task.name,
                rows=len(pending[id(cell)]),
                foreseen_seconds=proportion(len(pending[id(cell)]), cell.length_tokens),
            )
            for cell in plan.cells
        }
        self.pace = Pace(parts, measured=False)
        """Of the cells, by `id`."""
        self._shown = 0.0
        self._failed: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._console = Console(file=raw_stream(sys.stderr), quiet=quiet)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("planned", total=self._rows, rows=counted(self._rows_left, "row"), left="")
        self._open = contextlib.ExitStack()
        self.side_by_side = 1
        """How many workers answer rows at once."""
        self.prefix = ""
        """Stands before what is done now, such as how many workers do it."""

    def __enter__(self) -> Progress:
        self._open.enter_context(self._bar)
        self._open.enter_context(inert_output())  # the bar shows what is printed meanwhile above itself, as it is
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def loading(self, label: str) -> None:
        """A checkpoint is being loaded."""
        self._bar.update(self._task, description=_shown(f"loading {label}"))

    def foreseen(self, seconds: Mapping[int, float], *, measured: bool = True) -> None:
        """Seconds that the rows of cells take, by `id` of the cell: measured on this device, or on another, as proportions."""
        self.pace.measured = measured
        for key, each in seconds.items():
            self.pace[key] = replace(self.pace[key], foreseen_seconds=each)
        self._show()

    def asking(self, cell: Cell) -> None:
        """A cell's rows begin to be asked: what is printed as its time is the wall time from here on, of the first ones."""
        self._started.setdefault(id(cell), time.monotonic())

    def row_done(self, cell: Cell, record: dict[str, Any]) -> None:
        """One row is stored."""
        key = id(cell)
        part = self.pace[key]
        done = part.done_seconds + record["seconds"]
        begun = max(0.0, time.monotonic() - self._started[key] - done)
        part = replace(part, done_rows=part.done_rows + 1, done_seconds=done, begun_seconds=begun)
        self.pace[key] = part
        self._failed[key] = self._failed.get(key, 0) + (record["error"] is not None)
        where = f"{cell.checkpoint.label} {cell.task.name} {format_length(cell.length_tokens)}"
        self._show(description=_shown(self.prefix + where))
        if part.done_rows == part.rows:
            seconds = time.monotonic() - self._started[key]
            failed = f", {self._failed[key]} failed" if self._failed[key] else ""
            left = self.seconds_left or 0.0
            more = f"; about {lasting(left)} left" if left > _WORTH_SAYING_SECONDS else ""
            said = f"  {inert(where)}: {counted(part.rows, 'row')} in {seconds:.1f} s{failed}{more}"
            self._console.print(said, highlight=False, markup=False, soft_wrap=True)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all rows are answered; None while nothing is known."""
        left = self.pace.seconds_left
        return None if left is None else left / self.side_by_side

    @property
    def _rows(self) -> int:
        return sum(part.rows for part in self.pace)

    @property
    def _rows_left(self) -> int:
        return self._rows - sum(part.done_rows for part in self.pace)

    def _show(self, **more: Any) -> None:
        if self._bar.disable or time.monotonic() - self._shown < _SHOW_EVERY_SECONDS:
            return
        self._shown = time.monotonic()
        left, spent = self.seconds_left, sum(part.done_seconds for part in self.pace)
        if left is not None:
            share = spent / (spent + left) if spent + left else 1.0
            more |= {"completed": share * self._rows, "left": f"about {lasting(left)} left"}
        self._bar.update(self._task, rows=counted(self._rows_left, "row"), **more)


def _shown(text: str) -> str:
    """A description as it stands: what looks like rich's markup is none."""
    return escape(inert(text))
