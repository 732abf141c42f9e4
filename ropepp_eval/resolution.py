"""How small a difference a number of rows can show: said by a run's plan before the run, and used by reports after it."""

from __future__ import annotations

import math

import numpy as np

LEVEL = 0.05
"""Significance level of every test; intervals hold 1 - LEVEL."""


def mcnemar_power(rows: int, difference: float, disagreement: float, level: float = LEVEL) -> float:
    """Chance that the exact McNemar test finds `difference` (0-1) among `rows` paired 0/1 scores.

    `disagreement` is the share of rows that one checkpoint gets right and the other wrong; it is at least the difference.
    """
    from scipy.stats import binom

    disagreement = max(disagreement, difference)
    if disagreement == 0:
        return 0.0
    differing = np.arange(rows + 1)
    # The largest count of the rarer kind that is still significant: its lower tail holds at most level / 2; -1: none is.
    rarest = binom.ppf(level / 2, differing, 0.5)
    rarest = np.where(binom.cdf(rarest, differing, 0.5) > level / 2, rarest - 1, rarest)
    first_better = (disagreement + difference) / (2 * disagreement)
    found = binom.cdf(rarest, differing, first_better) + binom.cdf(rarest, differing, 1 - first_better)
    return float(np.sum(binom.pmf(differing, rows, disagreement) * found))


def smallest_difference(rows: int, *, disagreement: float = 0.2, power: float = 0.8, level: float = LEVEL) -> float | None:
    """The smallest difference (0-1) between two checkpoints that `rows` paired 0/1 rows show with this power.

    None where not even the largest possible difference would be shown (fewer than six rows at the 5 % level).

    Args:
        rows: rows in a cell, answered by both checkpoints.
        disagreement: share of rows on which the two disagree, as far as the difference allows.
        power: chance of finding the difference.
        level: significance level; divide it by the number of cells to allow for many tests.
    """
    if rows < 1 or mcnemar_power(rows, 1.0, 1.0, level) < power:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if mcnemar_power(rows, middle, disagreement, level) < power:
            low = middle
        else:
            high = middle
    return high


def resolution_in_words(rows: int) -> str:
    """One line for a plan: what `rows` rows a cell can show.

    >>> resolution_in_words(3)
    'with 3 rows a cell no difference between two checkpoints can be shown (a paired test needs at least 6)'
    """
    start = f"with {rows} row{'' if rows == 1 else 's'} a cell"
    smallest = smallest_difference(rows)
    if smallest is None:
        return f"{start} no difference between two checkpoints can be shown (a paired test needs at least 6)"
    points = math.ceil(1000 * smallest) / 10
    return (
        f"{start} a paired test shows differences of {points:g} points or more between two checkpoints "
        "(power 80 %, one row in five answered differently)"
    )
