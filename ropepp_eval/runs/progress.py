"""What people see while a run works: a bar on a terminal, a line now and then (of rows) or a line a cell (of answers) elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from ropepp_eval.inert import inert, inert_output, raw_stream
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.row import Row
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.runs.plan import Cell, Plan

_QUADRATIC_FROM_TOKENS = 8192
_SAY_EVERY_SECONDS = 5.0


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
    """Progress over the rows that are still to do, weighted by what they cost."""

    def __init__(self, plan: Plan, pending: dict[int, list[Row]], *, quiet: bool = False) -> None:
        self._cells = {id(cell): len(pending[id(cell)]) for cell in plan.cells}
        self._asked = dict(self._cells)
        self._failed: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._console = Console(file=raw_stream(sys.stderr), quiet=quiet)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            transient=True,
        )
        total = sum(row_cost(row) for rows in pending.values() for row in rows)
        self._rows_left = sum(self._cells.values())
        self._task = self._bar.add_task("planned", total=total, rows=counted(self._rows_left, "row"))
        self._open = contextlib.ExitStack()
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

    def asking(self, cell: Cell) -> None:
        """A cell's rows begin to be asked: what is printed as its time is the wall time from here on, of the first ones."""
        self._started.setdefault(id(cell), time.monotonic())

    def row_done(self, cell: Cell, record: dict[str, Any]) -> None:
        """One row is stored."""
        key = id(cell)
        self._cells[key] -= 1
        self._rows_left -= 1
        self._failed[key] = self._failed.get(key, 0) + (record["error"] is not None)
        where = f"{cell.checkpoint.label} {cell.task.name} {format_length(cell.length_tokens)}"
        advance = cost(record["prompt_tokens"], record["budget"])
        self._bar.update(
            self._task, advance=advance, description=_shown(self.prefix + where), rows=counted(self._rows_left, "row")
        )
        if self._cells[key] == 0:
            seconds = time.monotonic() - self._started[key]
            failed = f", {self._failed[key]} failed" if self._failed[key] else ""
            said = f"  {inert(where)}: {counted(self._asked[key], 'row')} in {seconds:.1f} s{failed}"
            self._console.print(said, highlight=False, markup=False, soft_wrap=True)


def _shown(text: str) -> str:
    """A description as it stands: what looks like rich's markup is none."""
    return escape(inert(text))


def row_cost(row: Row) -> float:
    """Relative time of a row."""
    return cost(row.prompt_tokens, row.max_new_tokens)


def cost(prompt_tokens: int, budget: int) -> float:
    """Relative time: linear layers grow with the tokens, attention with their square, each new token is a pass of its own."""
    return prompt_tokens * (1 + prompt_tokens / _QUADRATIC_FROM_TOKENS) + 50.0 * budget
