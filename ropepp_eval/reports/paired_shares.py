"""Two checkpoints' 0/1 scores on the same independent rows: one test and the interval that inverts it.

Of n rows, b are right in the first checkpoint alone and c in the second alone. The difference of the two shares is (b - c) / n.
For a supposed difference, Tango's score statistic (Statistics in Medicine 17, 1998, eq. 7 and 8) is asked how far off the data
are. Its p-value is not read from the normal curve, which is a little less sure in the corners, but counted: the
chance of every table at least as far off, at the supposed difference and the disagreement that is likeliest under it (the
"estimated" p-value: Lloyd, Biometrics 64, 2008). `benchmarks/size_and_coverage.py` measures size, power, coverage and width of this and
of the other candidates.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 18
"""Halvings of an interval's search: limits are right to 2 / 2**18, less than a thousandth of a point."""
TIE = 1e-9
"""Statistics nearer than this are equal; they are irrational numbers of small integers, so rounding parts them."""
REACH = 9.0
"""Standard deviations within which tables are counted; what lies beyond has a chance under 1e-16."""


def likeliest_disagreement(rows: int, first_only: Any, second_only: Any, difference: float) -> Any:
    """The share of rows right in the second alone that is likeliest where the shares differ by `difference` (-1 to 1).

    Elementwise over the counts. The larger root of Tango's quadratic equation.
    """
    linear = (2 * rows - first_only + second_only) * difference - first_only - second_only
    constant = -second_only * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear**2 - 8 * rows * constant, 0.0))
    return np.clip((root - linear) / (4 * rows), max(0.0, -difference), (1 - difference) / 2)


def score_statistic(rows: int, first_only: Any, second_only: Any, difference: float) -> Any:
    """Tango's z: how many standard errors the counts lie above what `difference` expects; elementwise."""
    share = likeliest_disagreement(rows, first_only, second_only, difference)
    away = first_only - second_only - rows * difference
    variance = rows * (2 * share + difference * (1 - difference))
    spread = variance > TIE
    z = np.divide(away, np.sqrt(np.where(spread, variance, 1.0)))
    return np.where(np.abs(away) < TIE, 0.0, np.where(spread, z, np.copysign(np.inf, away)))


@functools.lru_cache(maxsize=65536)
def tail_chances(rows: int, first_only: int, second_only: int, difference: float) -> tuple[float, float, float]:
    """Chances, where the shares differ by `difference`, of a statistic at least as high, at most as low, and as far either way."""
    observed = float(score_statistic(rows, np.float64(first_only), np.float64(second_only), difference))
    share = float(likeliest_disagreement(rows, np.float64(first_only), np.float64(second_only), difference))
    chances = np.clip([share + difference, share, 1 - difference - 2 * share], 0.0, 1.0)
    b, c = np.meshgrid(*(_counts(rows, float(chance)) for chance in chances[:2]), indexing="ij")
    possible = b + c <= rows
    b, c = b[possible], c[possible]
    z = score_statistic(rows, b, c, difference)
    weights = chances_of_tables(rows, b.astype(np.int64), c.astype(np.int64), chances / chances.sum())
    higher, lower = z >= observed - TIE, z <= observed + TIE
    further = np.abs(z) >= abs(observed) - TIE
    high, low, far = (min(1.0, float(weights[chosen].sum())) for chosen in (higher, lower, further))
    return high, low, far


def chances_of_tables(rows: int, first_only: Any, second_only: Any, chances: Any) -> Any:
    """The multinomial's chances of (first_only, second_only, the rest) among `rows`, elementwise over whole numbers.

    As `scipy.stats.multinomial.pmf`, whose checks and factorials of every table take most of a test's time.
    """
    logarithms = _log_factorials(rows)
    total = np.full(first_only.shape, logarithms[rows])
    for count, chance in zip((first_only, second_only, rows - first_only - second_only), chances, strict=True):
        possible = count * math.log(chance) if chance else np.where(count > 0, -np.inf, 0.0)
        total += possible - logarithms[count]
    return np.exp(total)


@functools.lru_cache(maxsize=256)
def _log_factorials(largest: int) -> Any:
    """Of 0 to `largest`."""
    from scipy.special import gammaln

    return gammaln(np.arange(largest + 1) + 1.0)


def _counts(rows: int, chance: float) -> Any:
    """The counts among `rows` that have a chance worth adding up."""
    reach = REACH * math.sqrt(rows * chance * (1 - chance)) + REACH
    return np.arange(max(0, math.floor(rows * chance - reach)), min(rows, math.ceil(rows * chance + reach)) + 1.0)


class PairedShares:
    """What b and c of n say about the difference of two shares. All differences are plain shares, -1 to 1."""

    method = "score, exact"

    def __init__(self, rows: int, first_only: int, second_only: int) -> None:
        self.rows, self.first_only, self.second_only = rows, first_only, second_only
        self.value = (first_only - second_only) / rows

    @property
    def error(self) -> float:
        """Standard error with half a row added to each kind of disagreement; for plans, not for the test."""
        return math.sqrt(smoothed_variance(self.rows, self.first_only, self.second_only))

    def two_sided(self, difference: float = 0.0) -> float:
        """p-value of the true difference being this."""
        return self._chances(difference)[2]

    def greater(self, difference: float) -> float:
        """p-value of the true difference being at most this; small where it is greater."""
        return self._chances(difference)[0]

    def less(self, difference: float) -> float:
        """p-value of the true difference being at least this; small where it is less."""
        return self._chances(difference)[1]

    def _chances(self, difference: float) -> tuple[float, float, float]:
        return tail_chances(self.rows, self.first_only, self.second_only, min(1.0, max(-1.0, difference)))

    def interval(self, level: float) -> tuple[float, float]:
        """The differences whose two-sided p-value is above `level`; it leaves out 0 exactly where the test of 0 rejects."""
        return _limit(self.two_sided, -1.0, self.value, level), _limit(self.two_sided, 1.0, self.value, level)


def _limit(p_value: Callable[[float], float], end: float, value: float, level: float) -> float:
    """Where the p-value crosses `level` between the end of the range and the estimate; 0 bounds the search if it lies there."""
    outside, inside = end, value
    if p_value(outside) > level:
        return outside
    if min(end, value) < 0 < max(end, value):
        outside, inside = (0.0, inside) if p_value(0.0) <= level else (outside, 0.0)
    for _ in range(STEPS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if p_value(middle) <= level else (outside, middle)
    return outside if outside else inside  # the outer bracket loses nothing, but a rejected 0 stays outside


def smoothed_variance(rows: int, first_only: float, second_only: float) -> float:
    """Variance of the difference of two shares on `rows` paired rows, with half a row added to each kind of disagreement.

    Without the halves, rows that all agree would claim to be certain.
    """
    b, c, n = first_only + 0.5, second_only + 0.5, rows + 1
    return ((b + c) / n - ((b - c) / n) ** 2) / rows
