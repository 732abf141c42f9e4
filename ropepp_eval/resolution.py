"""How small a difference a number of rows can show, and how many rows a difference needs.

Said by a run's plan before the run and by `ropepp-eval resolution`; reports test at the same level. The test is that of
`reports/paired_shares.py`, asked only about no difference, where it has a short form: where b + c rows differ and b are right in the
first checkpoint alone, the statistic is McNemar's |b - c| / sqrt(b + c), and its chance is counted with (b + c) / n of n rows
differing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropepp_eval.errors import UserError

LEVEL = 0.05
"""Significance level of every test; intervals hold 1 - LEVEL."""
POWER = 0.8
"""Chance of finding a difference that a number of rows is said to show."""
DISAGREEMENT = 0.2
"""Share of rows that plans suppose one checkpoint to get right and the other wrong."""
SMALLEST_POINTS = 0.1
"""No plan is made for a smaller difference: it needs over a million rows."""
MANY_ROWS = 500
"""Beyond so many rows the normal curve stands in for counting: the power is the same to a hundredth, in a moment."""
REACH = 7.0
"""Standard deviations within which counts are looked at."""


def _likely_counts(rows: int, chance: float) -> Any:
    reach = REACH * math.sqrt(rows * chance * (1 - chance)) + REACH
    return np.arange(max(0, math.floor(rows * chance - reach)), min(rows, math.ceil(rows * chance + reach)) + 1.0)


def no_difference_p_value(rows: int, differing: int, lead: int) -> float:
    """Two-sided p-value of no difference where `differing` of `rows` rows differ and one checkpoint has `lead` more of them."""
    from scipy.stats import binom

    if lead == 0:
        return 1.0
    counts = _likely_counts(rows, differing / rows)
    fewest = np.floor((counts - lead * np.sqrt(counts / differing)) / 2 + 1e-9)  # of the rarer kind, at most
    beyond = np.where(counts > 0, 2 * binom.cdf(fewest, counts, 0.5), 0.0)
    return float(np.sum(beyond * binom.pmf(counts, rows, differing / rows)))


@functools.lru_cache(maxsize=65536)
def _needed_lead(rows: int, differing: int, level: float) -> int:
    """The smallest lead among `differing` rows that is significant; one more than there are where none is."""
    lead = min(
        differing + 1, int(_lead_by_normal_curve(differing, level))
    )  # nearly right: the search goes from there step by step
    while lead > 1 and no_difference_p_value(rows, differing, lead - 1) <= level:
        lead -= 1
    while lead <= differing and no_difference_p_value(rows, differing, lead) > level:
        lead += 1
    return lead


def _lead_by_normal_curve(differing: Any, level: float) -> Any:
    from scipy.stats import norm

    return np.ceil(norm.isf(level / 2) * np.sqrt(differing)).astype(np.int64)


def _needed_leads(rows: int, counts: Any, level: float) -> Any:
    if rows > MANY_ROWS:
        return _lead_by_normal_curve(counts, level)
    return np.array([_needed_lead(rows, int(count), level) for count in counts])


def paired_power(rows: int, difference: float, disagreement: float = DISAGREEMENT, level: float = LEVEL) -> float:
    """Chance that the paired test finds `difference` (0-1) among `rows` paired 0/1 scores.

    `disagreement` is the share of rows that one checkpoint gets right and the other wrong; it is at least the difference.
    """
    from scipy.stats import binom

    disagreement = max(disagreement, difference)
    if disagreement == 0:
        return 0.0
    counts = _likely_counts(rows, disagreement)
    leads = _needed_leads(rows, counts, level)
    first_better = (disagreement + difference) / (2 * disagreement)
    rarest = np.floor((counts - leads) / 2)  # at most so many of the rarer kind
    found = binom.cdf(rarest, counts, first_better) + binom.cdf(rarest, counts, 1 - first_better)
    return float(np.sum(binom.pmf(counts, rows, disagreement) * found))


def smallest_difference(
    rows: int, *, disagreement: float = DISAGREEMENT, power: float = POWER, level: float = LEVEL
) -> float | None:
    """The smallest difference (0-1) between two checkpoints that `rows` paired 0/1 rows show with this power.

    None where not even the largest possible difference would be shown (fewer than six rows at the 5 % level).

    Args:
        rows: rows in a cell, answered by both checkpoints.
        disagreement: share of rows on which the two disagree, as far as the difference allows.
        power: chance of finding the difference.
        level: significance level; divide it by the number of cells to allow for many tests.
    """
    if rows < 1 or paired_power(rows, 1.0, 1.0, level) < power:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if paired_power(rows, middle, disagreement, level) < power else (low, middle)
    return high


def rows_needed(difference: float, *, disagreement: float = DISAGREEMENT, power: float = POWER, level: float = LEVEL) -> int:
    """Paired 0/1 rows that show `difference` (0-1) with this power.

    Counts are whole, so power wavers by a row or two; this is the end of a search by halves.

    Raises:
        UserError: the difference is not between `SMALLEST_POINTS` and 100 points.
    """
    if not SMALLEST_POINTS / 100 <= difference <= 1:
        raise UserError(
            f"difference {100 * difference:g} is not between {SMALLEST_POINTS:g} and 100 points; ask for one such as --detect 5"
        )
    guess = _rows_by_normal_curve(difference, max(disagreement, difference), power, level)
    low, high = 0, max(2, guess)
    while paired_power(high, difference, disagreement, level) < power:
        low, high = high, math.ceil(1.1 * high) + 1
    while high - low > max(1, high // 1000):  # a thousandth of the rows is nothing to a plan
        middle = (low + high) // 2 if low else max(1, min(high - 1, math.floor(0.9 * high)))
        if paired_power(middle, difference, disagreement, level) < power:
            low = middle
        else:
            high = middle
    return high


def _rows_by_normal_curve(difference: float, disagreement: float, power: float, level: float) -> int:
    """Where the search begins (Miettinen 1968, eq. 3): critical value and power from the normal curve."""
    from scipy.stats import norm

    reach: float = norm.isf(level / 2) * math.sqrt(disagreement) + norm.ppf(power) * math.sqrt(disagreement - difference**2)
    return math.ceil((reach / difference) ** 2)


def resolution_in_words(rows: int) -> str:
    """One line for a plan: what `rows` rows a cell can show.

    >>> resolution_in_words(3)
    'with 3 rows a cell no difference between two checkpoints can be shown (a paired test needs at least 6)'
    """
    start = f"with {rows} row{'' if rows == 1 else 's'} a cell"
    smallest = smallest_difference(rows)
    if smallest is None:
        return f"{start} no difference between two checkpoints can be shown (a paired test needs at least 6)"
    points = math.ceil(1000 * smallest - 1e-6) / 10
    return (
        f"{start} a paired test shows differences of {points:g} points or more between two checkpoints "
        "(power 80 %, one row in five answered differently)"
    )


@dataclass(frozen=True)
class DesignOptions:
    """What a plan supposes."""

    tasks: int = 13
    """Tasks that are averaged."""
    lengths: int = 5
    power: float = POWER
    disagreement: float = DISAGREEMENT


class Designs:
    """One cell alone, one cell among all of a table, and a mean over tasks: what each needs and shows.

    A mean over T tasks of n rows is as sure as one cell of T x n rows. Among the cells of a table the first step of Holm's adjustment
    is planned for, so a single difference is found beside any number of ties.
    """

    def __init__(self, options: DesignOptions) -> None:
        self.options = options
        cells = options.tasks * options.lengths
        self._kinds = {  # name: (words, cells averaged, tests)
            "one_cell": ("in one cell", 1, 1),
            "one_cell_of_table": (f"in one of {cells} cells (Holm)", 1, cells),
            "mean_over_tasks": (f"in a mean over {options.tasks} tasks", options.tasks, 1),
            "mean_over_tasks_of_table": (f"in a mean over {options.tasks} tasks, {options.lengths} lengths (Holm)", options.tasks, options.lengths),
        }  # fmt: skip

    def rows(self, difference: float) -> dict[str, int]:
        """Rows a cell that show `difference` (0-1), by design.

        Raises:
            UserError: no plan is made for such a difference.
        """
        settings = {"disagreement": self.options.disagreement, "power": self.options.power}
        return {
            name: math.ceil(rows_needed(difference, level=LEVEL / tests, **settings) / averaged)
            for name, (_, averaged, tests) in self._kinds.items()
        }

    def differences(self, rows: int) -> dict[str, float | None]:
        """The smallest difference (0-1) that `rows` rows a cell show, by design; None where they show none."""
        settings = {"disagreement": self.options.disagreement, "power": self.options.power}
        return {
            name: smallest_difference(rows * averaged, level=LEVEL / tests, **settings)
            for name, (_, averaged, tests) in self._kinds.items()
        }

    def rows_in_words(self, points: float, rows: Mapping[str, int]) -> list[str]:
        """Lines for people."""
        said = [f"rows a cell that show a difference of {points:g} points between two checkpoints on the same rows:"]
        return [*said, *self._lines({name: f"{count:,}" for name, count in rows.items()}), self._supposed()]

    def differences_in_words(self, rows: int, points: Mapping[str, float | None]) -> list[str]:
        """Lines for people."""
        said = [
            f"the smallest difference between two checkpoints that {rows:,} row{'s' if rows > 1 else ''} a cell show, in points:"
        ]
        shown = {name: "none" if one is None else f"{math.ceil(10 * one - 1e-6) / 10:.1f}" for name, one in points.items()}
        return [*said, *self._lines(shown), self._supposed()]

    def _lines(self, values: Mapping[str, str]) -> list[str]:
        width = max(len(words) for words, _, _ in self._kinds.values())
        right = max(map(len, values.values()))
        return [f"  {self._kinds[name][0]:<{width}}  {value:>{right}}" for name, value in values.items()]

    def _supposed(self) -> str:
        options = self.options
        return (
            f"supposed: found in {100 * options.power:g} % of runs, tested at {100 * LEVEL:g} %, right-or-wrong scores, "
            f"{100 * options.disagreement:g} % of rows answered differently"
        )
