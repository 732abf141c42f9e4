"""Seconds of a plan: measured on a loaded model, or by what is known of a device that is not here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropepp_eval.adapters.native.calibration import SHARE, Calibration, calibrate
from ropepp_eval.adapters.native.lm import NativeLM
from ropepp_eval.forecasts.rates import Rates
from ropepp_eval.runs.forecast import CellForecast, Forecaster, requests_to

TINY_SECONDS = 20.0
"""Work of fewer seconds is not worth more than the first measurements."""
BUSY_SPREAD = 0.5
"""Equal measurements that differ by more say that something else is at work."""


@dataclass(frozen=True)
class Estimate:
    """What the cells of one checkpoint will take."""

    cells: tuple[CellForecast, ...]
    rates: Rates
    spread: float = 0.0
    """See `Calibration.spread`."""
    answered: Mapping[str, float] | None = None
    """Share of their budget that answers of a task took in a trial; None: none was made."""

    @property
    def seconds(self) -> float:
        return sum(self.seconds_of(cell) for cell in self.cells)

    def seconds_of(self, cell: CellForecast) -> float:
        """Of one of the cells."""
        return cell.seconds(self.rates)

    @property
    def busy(self) -> bool:
        """Whether something else seems to be at work on this machine."""
        return self.spread > BUSY_SPREAD


def estimate(forecaster: Forecaster, lm: NativeLM, cells: Sequence[CellForecast]) -> Estimate:
    """Measure what the cells of a loaded checkpoint will take: its rates, and how much of their budgets answers take.

    Measuring takes a few seconds, or some percent of the work.
    """
    calls = [call for cell in cells for call in cell.calls]
    found = calibrate(lm, calls, rough_under=TINY_SECONDS)
    answered = _answered(lm, cells, found)
    told = [
        forecaster.cell(cell.cell, cell.rows, answered=answered[cell.cell.task.name])
        if cell.cell.task.name in answered
        else cell
        for cell in cells
    ]
    return Estimate(tuple(told), found.rates, found.spread, answered)


def _answered(lm: NativeLM, cells: Sequence[CellForecast], found: Calibration) -> dict[str, float]:
    """The share of its budget that an answer to the shortest row of each task takes: models that know how to end, end early. Left
    out where one answer is too large a part of the work."""
    work = sum(cell.seconds(found.rates) for cell in cells)
    tasks: dict[str, CellForecast] = {}
    for cell in cells:
        if cell.cell.task.output_type == "generate_until" and cell.cell.task.name not in tasks:
            tasks[cell.cell.task.name] = cell  # cells of short lengths come first
    shares: dict[str, float] = {}
    allowed = max(2.0, SHARE * work)
    for name, cell in sorted(tasks.items(), key=lambda item: item[1].cell.length_tokens):
        row = min(cell.rows, key=lambda row: row.prompt_tokens)
        cost = cell.seconds(found.rates) / len(cell.rows) * 2  # alone it takes longer than in company
        if cost > allowed:
            continue
        allowed -= cost
        answers: list[Any] = [answer for _, answer in lm.answers(requests_to(cell.cell, row))]
        if answers and answers[0].error is None and answers[0].budget:
            shares[name] = answers[0].new_tokens / answers[0].budget
    return shares
