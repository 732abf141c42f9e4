"""Seconds of a plan: measured on a loaded model, or by what is known of a device that is not here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropepp_eval.adapters.native.calibration import LEAST_SECONDS, SHARE, Calibration, calibrate
from ropepp_eval.adapters.native.lm import NativeLM
from ropepp_eval.forecasts.rates import Rates
from ropepp_eval.runs.forecast import CellForecast, Forecaster, requests_to
from ropepp_eval.runs.plan import Cell

BUSY_SPREAD = 0.5
"""Equal measurements that differ by more say that something else is at work."""


@dataclass(frozen=True)
class Estimate:
    """What the cells of one checkpoint will take."""

    cells: tuple[CellForecast, ...]
    rates: Rates
    spread: float = 0.0
    """See `Calibration.spread`."""
    answered: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """Share of their budget that answers take, by task and length in tokens, where a trial said so."""

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
    found = calibrate(lm, calls)
    answered = _answered(lm, cells, found)
    told = [
        forecaster.cell(cell.cell, cell.rows, answered=answered[name_of(cell.cell)])
        if name_of(cell.cell) in answered
        else cell
        for cell in cells
    ]
    return Estimate(tuple(told), found.rates, found.spread, answered)


def name_of(cell: Cell) -> tuple[str, int]:
    """Task and length of a cell."""
    return cell.task.name, cell.length_tokens


def _answered(lm: NativeLM, cells: Sequence[CellForecast], found: Calibration) -> dict[tuple[str, int], float]:
    """The share of its budget that an answer to one row of a cell takes: models that know how to end, end early, and beyond their trained
    length forget it. One answer says little of the others, and the longest of those that are written side by side counts: half way to the
    whole budget. Cells whose answer is too large a part of the work are taken to be like the next shorter one of their task."""
    generating = [cell for cell in cells if cell.cell.task.output_type == "generate_until"]
    allowed = max(LEAST_SECONDS, SHARE * sum(cell.seconds(found.rates) for cell in cells))
    costs = {
        id(cell): cell.seconds(found.rates) / len(cell.rows) * 2 for cell in generating
    }  # alone it takes longer than in company
    shares: dict[tuple[str, int], float] = {}
    for cell in sorted(generating, key=lambda cell: costs[id(cell)]):
        if costs[id(cell)] > allowed:
            break
        allowed -= costs[id(cell)]
        row = min(cell.rows, key=lambda row: row.prompt_tokens)
        answers: list[Any] = [answer for _, answer in lm.answers(requests_to(cell.cell, row))]
        if answers and answers[0].error is None and answers[0].budget:
            shares[name_of(cell.cell)] = (answers[0].new_tokens / answers[0].budget + 1) / 2
    return _carried(shares, [name_of(cell.cell) for cell in generating])


def _carried(shares: Mapping[tuple[str, int], float], names: Sequence[tuple[str, int]]) -> dict[tuple[str, int], float]:
    """The shares, and those of tasks at lengths without a trial, by the longest one below, or else the shortest."""
    found = dict(shares)
    for task, length in names:
        lengths = sorted(tried for name, tried in shares if name == task)
        if lengths:
            below = [tried for tried in lengths if tried <= length]
            found[task, length] = shares[task, below[-1] if below else lengths[0]]
    return found
