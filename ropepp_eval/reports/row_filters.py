"""Which rows are looked at: by task, length, checkpoint, depth, how they ended, and whether two checkpoints differ on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.comparison import chosen_checkpoint, chosen_checkpoints
from ropepp_eval.reports.naming import counted
from ropepp_eval.reports.row_views import RowView

_DEPTHS = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """What rows must be; None and False ask nothing."""

    tasks: tuple[str, ...] = ()
    """Tasks or benchmarks."""
    lengths: tuple[int, ...] = ()
    checkpoint: str | None = None
    """As tables call it."""
    finish: tuple[str, ...] = ()
    """Reasons why answers ended."""
    depth: str | None = None
    """`40-60`: a fact that is asked for stands there, in percent of the context."""
    wrong: bool = False
    """Answered, but not fully right."""
    failed: bool = False
    """With `wrong`: either of the two."""

    def of(self, views: Sequence[RowView], cells: Cells) -> list[RowView]:
        """The rows that pass, in their order.

        Raises:
            UserError: a task, length, checkpoint or reason is none of the rows', or the depth is no range.
        """
        checks = self._checks(views, cells)
        return [view for view in views if all(check(view) for check in checks)]

    def _checks(self, views: Sequence[RowView], cells: Cells) -> list[Callable[[RowView], bool]]:
        checks: list[Callable[[RowView], bool]] = []
        if self.tasks:
            known = {name for cell in cells.cells for name in (cell.name.task, cell.name.benchmark)}
            _check_names("task", self.tasks, known, "--task takes tasks and benchmarks of these results, with commas")
            checks.append(lambda view: bool({view.cell.name.task, view.cell.name.benchmark} & set(self.tasks)))
        if self.lengths:
            there = {cell.name.length_tokens: cell.name.length for cell in cells.cells}
            for length in self.lengths:
                if length not in there:
                    here = ", ".join(there[one] for one in sorted(there))
                    raise UserError(f"no row has the length {length}; these results have {here}; choose with --length")
            checks.append(lambda view: view.cell.name.length_tokens in self.lengths)
        if self.checkpoint is not None:
            wanted = chosen_checkpoint(cells, self.checkpoint)
            checks.append(lambda view: view.checkpoint == wanted)
        if self.finish:
            reasons = {str(view.record["finish"]) for view in views if view.record.get("finish")}
            _check_names("finish", self.finish, reasons, "these are the ends of the answers here")
            checks.append(lambda view: view.record.get("finish") in self.finish)
        if self.depth is not None:
            low, high = depth_range(self.depth)
            checks.append(lambda view: any(low <= depth <= high for depth in view.depths))
        if self.wrong or self.failed:
            outcomes = (*(("wrong", "partly") if self.wrong else ()), *(("failed",) if self.failed else ()))
            checks.append(lambda view: view.outcome in outcomes)
        return checks


def _check_names(kind: str, names: Iterable[str], known: Iterable[str], next_step: str) -> None:
    there = set(known)
    for name in names:
        if name not in there:
            raise unknown_name(kind, name, there, next_step)


def depth_range(text: str) -> tuple[float, float]:
    """`40-60` as (40.0, 60.0).

    Raises:
        UserError: it is no range within 0 to 100.
    """
    match = _DEPTHS.fullmatch(text.strip().removesuffix("%").strip())
    low, high = (float(match[1]), float(match[2])) if match else (1.0, 0.0)
    if not 0 <= low <= high <= 100:
        raise UserError(
            f"--depth {text!r} is no range of depths; give percent of the context from its beginning, such as 40-60"
        )
    return low, high


@dataclass(frozen=True)
class RowPair:
    """One row as two checkpoints answered it."""

    first: RowView
    second: RowView

    @property
    def better(self) -> int:
        """1 where the first answered better, -1 where the second did, 0 where nothing says so (one failed, or both score alike)."""
        one, other = self.first.score, self.second.score
        if one is None or other is None or one == other:
            return 0
        return 1 if (one > other) == self.first.cell.metrics[self.first.metric].higher_is_better else -1


def differing_pairs(
    views: Sequence[RowView], chosen: Iterable[RowView], cells: Cells, first: str, second: str
) -> tuple[list[RowPair], int]:
    """Rows that both checkpoints answered and score differently, or that failed in one of them, where either passed the filters (is one
    of `chosen`); and how many rows both have.

    Raises:
        UserError: a checkpoint is unknown, both are one, or they have no row in common.
    """
    one, other = chosen_checkpoints(cells, first, second)
    passed = {view.number for view in chosen}
    seconds = {_row_of(view): view for view in views if view.checkpoint == other}
    pairs = [RowPair(view, seconds[_row_of(view)]) for view in views if view.checkpoint == one and _row_of(view) in seconds]
    if not pairs:
        raise UserError(
            f"{first} and {second} have no row in common; `ropepp-eval compare` says why; run both with the same tasks, lengths, "
            "protocol and seed"
        )
    differing = [
        pair for pair in pairs if (pair.first.score, pair.first.outcome) != (pair.second.score, pair.second.outcome)
    ]
    return [pair for pair in differing if {pair.first.number, pair.second.number} & passed], len(pairs)


def _row_of(view: RowView) -> tuple[str, str, str, int, str]:
    name = view.cell.name
    return name.benchmark, name.task, name.protocol, name.length_tokens, str(view.record["row_sha256"])


def row_numbered(number: int, views: Sequence[RowView], total: int) -> RowView:
    """The row that `--show` asks for.

    Raises:
        UserError: there is none of this number.
    """
    found = next((view for view in views if view.number == number), None)
    if found is None:
        allowed = "there is no row" if not total else f"the {counted(total, 'row')} here are numbered 0 to {total - 1}"
        raise UserError(f"--show {number} is no row; {allowed}, and `ropepp-eval rows DIR` lists them with their numbers")
    return found
