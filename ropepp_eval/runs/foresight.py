"""The time of a run while it works: measured on the checkpoint that is loaded, carried over to those that are not yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ropepp_eval.adapters.memory import out_of_memory
from ropepp_eval.records import CELL_FIELDS
from ropepp_eval.rows.row import Row
from ropepp_eval.runs.forecast import Forecaster
from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint
from ropepp_eval.runs.progress import Progress
from ropepp_eval.words import lasting

WORTH_SAYING_SECONDS = 60.0
WORTH_MEASURING_SECONDS = 1.0
"""On a typical device; rows that take less are done before a forecast is of use."""
WORTH_MEASURING_AGAIN_SECONDS = 20.0
"""Foreseen by what another checkpoint showed; one whose rows take less is taken to be like that one."""


class Foresight:
    """Seconds of the rows that are missing, by cell."""

    def __init__(self, plan: Plan, pending: Mapping[int, list[Row]], say: Callable[[str], None]) -> None:
        """
        Args:
            plan: what is asked.
            pending: the rows that are missing, by `id` of their cell.
            say: is told what the whole will take, where that is long.
        """
        self._plan, self._pending, self._say = plan, pending, say
        self._seconds: dict[int, float] = {}

    def loaded(self, checkpoint: PlannedCheckpoint, adapter: Any, progress: Progress) -> bool:
        """Measure a checkpoint that was just loaded, and tell the progress; whether something new is foreseen."""
        from ropepp_eval.adapters.native.lm import NativeLM
        from ropepp_eval.runs.estimate import estimate, name_of

        if not isinstance(adapter, NativeLM):
            return False
        forecaster, first = Forecaster(self._plan), not self._seconds
        missing = self._missing([checkpoint])
        if not first and sum(self._seconds[id(cell)] for cell in missing) < WORTH_MEASURING_AGAIN_SECONDS:
            return False
        cells = [forecaster.cell(cell, self._pending[id(cell)]) for cell in missing]
        if first and sum(cell.proportion for cell in cells) < WORTH_MEASURING_SECONDS:
            return False
        try:
            found = estimate(forecaster, adapter, cells)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return False  # rows are answered in smaller pieces then; a trial must not end a run
        self._seconds |= {id(cell.cell): found.seconds_of(cell) for cell in found.cells}
        if first:
            others = [each for each in self._plan.checkpoints if each.label != checkpoint.label]
            for cell in self._missing(others):
                share = found.answered.get(name_of(cell), 1.0)
                alike = forecaster.cell(cell, self._pending[id(cell)], answered=share)
                self._seconds[id(cell)] = alike.seconds(found.rates)
        progress.foreseen(self._seconds)
        if first and sum(self._seconds.values()) > WORTH_SAYING_SECONDS:
            busy = ", though this machine is busy with something else" if found.busy else ""
            self._say(f"time: about {lasting(sum(self._seconds.values()))}, by a trial on this device{busy}")
        return True

    def noted(self, planned: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The cells of `run.json` with what was foreseen of them: for all of their rows, as if those that are there took as long."""
        foreseen = {
            _name_of(cell, self._plan): self._seconds[id(cell)] * len(cell.rows) / len(self._pending[id(cell)])
            for cell in self._plan.cells
            if id(cell) in self._seconds and self._pending[id(cell)]
        }
        found = []
        for entry in planned:
            name = tuple(entry[field] for field in CELL_FIELDS)
            seconds = {"foreseen_seconds": round(foreseen[name], 3)} if name in foreseen else {}
            found.append({**entry, **seconds})
        return found

    def _missing(self, checkpoints: Sequence[PlannedCheckpoint]) -> list[Cell]:
        return [cell for each in checkpoints for cell in self._plan.cells_of(each) if self._pending[id(cell)]]


def _name_of(cell: Cell, plan: Plan) -> tuple[Any, ...]:
    checkpoint = cell.checkpoint
    named = {
        "checkpoint": checkpoint.label,
        "checkpoint_sha256": checkpoint.info.sha256,
        "position": checkpoint.position,
        "benchmark": cell.task.benchmark,
        "task": cell.task.name,
        "length_tokens": cell.length_tokens,
        "protocol": plan.config.protocol,
    }
    return tuple(named[field] for field in CELL_FIELDS)
