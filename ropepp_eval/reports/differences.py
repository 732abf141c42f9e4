"""First minus second over rows that both checkpoints answered: which evidence the scores make, for one cell or a sum of cells."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropepp_eval.reports.aggregation import Scores, aggregate
from ropepp_eval.reports.columns import Integers
from ropepp_eval.reports.evidence import BootstrapDifference, Evidence, StudentDifference
from ropepp_eval.reports.paired_shares import PairedShares, smoothed_variance
from ropepp_eval.reports.statistics import (
    NOISE,
    Clusters,
    Interval,
    as_numbers,
    combined,
    contribution_error,
    contributions,
    count_distinct,
)
from ropepp_eval.resolution import LEVEL

MANY_DOCUMENTS = 1000
"""Beyond so many documents the bootstrap would draw Student's t, slowly."""


@dataclass(frozen=True)
class PairedScores:
    """The scores of two checkpoints on the rows of one cell, and the cell's weight in the sum that is compared."""

    aggregation: str
    first: Scores
    second: Scores
    clusters: Integers
    weight: float = 1.0

    @classmethod
    def of(
        cls,
        aggregation: str,
        first: Scores | Sequence[Any],
        second: Scores | Sequence[Any],
        clusters: Clusters,
        weight: float = 1.0,
    ) -> PairedScores:
        """From arrays or lists, row by row."""
        if not len(first) == len(second) == len(clusters):
            raise ValueError(
                f"{len(first)} scores, {len(second)} scores and {len(clusters)} clusters are not of the same rows"
            )
        return cls(aggregation, Scores.of(first), Scores.of(second), as_numbers(clusters), weight)

    @functools.cached_property
    def documents(self) -> int:
        """Distinct clusters."""
        return count_distinct(self.clusters)

    @property
    def independent(self) -> bool:
        return self.documents == len(self.first)

    @property
    def binary(self) -> bool:
        return self.aggregation == "mean" and self.first.right_or_wrong and self.second.right_or_wrong

    @property
    def within_one(self) -> bool:
        """Shares or graded scores from 0 to 1, whose difference can't pass 1."""
        return self.aggregation == "mean" and self.first.shares and self.second.shares

    def disagreements(self) -> tuple[int, int]:
        """Rows right in the first alone, and in the second alone, of 0/1 scores."""
        one, other = self.first.tops, self.second.tops
        return int((one > other).sum()), int((one < other).sum())


@dataclass(frozen=True)
class Difference:
    """First minus second, over rows that both checkpoints answered, in the unit of the weights."""

    value: float | None
    """None where a value is too large for a float (a perplexity)."""
    evidence: Evidence | None
    """None with `value`."""
    scale: float
    """The evidence times this is in the unit of `value`."""
    rows: int
    documents: int
    """Independent documents behind the rows; as many as rows where none is shared."""

    @property
    def method(self) -> str:
        return self.evidence.method if self.evidence else ""

    @property
    def interval(self) -> Interval | None:
        """95 %; None where nothing varies or there is one row."""
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> Interval | None:
        """The same at another level."""
        found = self.evidence.interval(level) if self.evidence and self.documents > 1 else None
        return None if found is None else (self.scale * found[0], self.scale * found[1])

    @property
    def p_value(self) -> float | None:
        """Two-sided, of no difference; None where no test is possible (one row or document)."""
        return self.evidence.two_sided() if self.evidence and self.documents > 1 else None

    def greater(self, difference: float) -> float | None:
        """p-value of the true difference being at most this; small where it is greater."""
        return self.evidence.greater(difference / self.scale) if self.evidence and self.documents > 1 else None

    def less(self, difference: float) -> float | None:
        """p-value of the true difference being at least this; small where it is less."""
        return self.evidence.less(difference / self.scale) if self.evidence and self.documents > 1 else None

    @property
    def error(self) -> float | None:
        """Standard error, for plans."""
        error = self.evidence.error if self.evidence and self.documents > 1 else None
        return None if error is None else self.scale * error


def difference_of(cells: Sequence[PairedScores]) -> Difference:
    """The weighted sum of the cells' differences, with the evidence that suits their scores.

    One cell of independent 0/1 rows: Tango's score statistic, counted exactly. A sum of such cells: Student's t. Anything else:
    the studentised bootstrap over documents, or Student's t where there are so many documents that the two are the same.
    """
    rows = sum(len(cell.first) for cell in cells)
    documents = count_distinct(np.concatenate([cell.clusters for cell in cells]))
    values = [_value(cell) for cell in cells]
    if any(value is None for value in values):
        return Difference(None, None, 1.0, rows, documents)
    value = math.fsum(cell.weight * one for cell, one in zip(cells, values, strict=True) if one is not None)
    if sum(cell.documents for cell in cells) == documents and all(c.binary and c.independent for c in cells):
        if len(cells) == 1:
            return Difference(value, PairedShares(rows, *cells[0].disagreements()), cells[0].weight, rows, documents)
        return Difference(value, _student(value, cells), 1.0, rows, documents)
    if len(cells) == 1 and (alike := _alike(cells[0], documents)):
        return Difference(value, alike, cells[0].weight, rows, documents)
    limit = sum(cell.weight for cell in cells) if all(cell.within_one for cell in cells) else math.inf
    parts = [
        (sign * cell.weight, contributions(cell.aggregation, scores, cell.clusters))
        for cell in cells
        for sign, scores in ((1.0, cell.first), (-1.0, cell.second))
    ]
    moves = combined(parts)
    if documents > MANY_DOCUMENTS and (error := contribution_error(moves)):
        return Difference(value, StudentDifference(value, error, documents - 1, limit), 1.0, rows, documents)
    return Difference(value, BootstrapDifference(value, moves, limit), 1.0, rows, documents)


def paired_difference(aggregation: str, first: Sequence[Any], second: Sequence[Any], clusters: Clusters) -> Difference:
    """First minus second over the same rows of one cell."""
    return difference_of([PairedScores.of(aggregation, first, second, clusters)])


def _value(cell: PairedScores) -> float | None:
    """The difference of the two metrics, with the rounding of float sums taken as 0."""
    first, second = aggregate(cell.aggregation, cell.first), aggregate(cell.aggregation, cell.second)
    if first is None or second is None:
        return None
    return 0.0 if abs(first - second) <= NOISE * max(abs(first), abs(second)) else first - second


def _student(value: float, cells: Sequence[PairedScores]) -> StudentDifference:
    variance = sum(cell.weight**2 * smoothed_variance(len(cell.first), *cell.disagreements()) for cell in cells)
    freedom = max(1, sum(len(cell.first) - 1 for cell in cells))
    return StudentDifference(value, math.sqrt(variance), freedom, sum(cell.weight for cell in cells))


def _alike(cell: PairedScores, documents: int) -> PairedShares | None:
    """Clustered 0/1 rows that all differ alike: a document counts as one row, since nothing tells how its rows hang together."""
    differences = np.unique(cell.first.tops - cell.second.tops) if cell.binary else np.empty(0)
    if len(differences) != 1:
        return None
    (one,) = differences
    return PairedShares(documents, documents if one > 0 else 0, documents if one < 0 else 0)
