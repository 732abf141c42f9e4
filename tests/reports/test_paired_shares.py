"""The test of paired 0/1 scores and its interval: equal to a second implementation, one another's inverse, with their promises."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar

from ropepp_eval.reports.paired_shares import PairedShares, score_statistic

TABLES = [
    (5, 5, 0), (5, 2, 1), (6, 6, 0), (6, 0, 6), (7, 0, 0), (8, 3, 3), (10, 10, 0), (10, 4, 1), (10, 0, 3), (12, 1, 0),
    (15, 12, 0), (15, 8, 1), (15, 5, 10), (18, 9, 2), (20, 7, 0), (20, 10, 10), (21, 1, 7), (25, 2, 9), (30, 12, 4), (30, 0, 1),
    (32, 14, 5), (40, 3, 16),
]  # fmt: skip
"""(rows, right in the first alone, right in the second alone): with corners, ties and both signs."""


def likeliest(rows: int, b: int, c: int, difference: float) -> float:
    """The disagreement that is likeliest under `difference`, by searching the likelihood."""

    def loss(share: float) -> float:
        chances = (share + difference, share, 1 - difference - 2 * share)
        counts = (b, c, rows - b - c)
        if any(chance <= 0 < count for chance, count in zip(chances, counts, strict=True)):
            return 1e300
        return -sum(count * math.log(chance) for chance, count in zip(chances, counts, strict=True) if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return min((low, found, high), key=loss)


def slow_statistic(rows: int, b: int, c: int, difference: float) -> float:
    share = likeliest(rows, b, c, difference)
    away = b - c - rows * difference
    variance = rows * (2 * share + difference - difference**2)
    return 0.0 if abs(away) < 1e-9 else away / math.sqrt(variance) if variance > 1e-9 else math.copysign(math.inf, away)


def slow_p_values(rows: int, b: int, c: int, difference: float) -> tuple[float, float, float]:
    """Chances of a statistic as high, as low, as far: every table of so many rows, one after the other."""
    observed, share = slow_statistic(rows, b, c, difference), likeliest(rows, b, c, difference)
    high = low = far = 0.0
    for x in range(rows + 1):
        for y in range(rows + 1 - x):
            chance = math.comb(rows, x) * math.comb(rows - x, y) * (share + difference) ** x * share**y
            chance *= max(0.0, 1 - difference - 2 * share) ** (rows - x - y)
            z = slow_statistic(rows, x, y, difference)
            high += chance * (z >= observed - 1e-6)
            low += chance * (z <= observed + 1e-6)
            far += chance * (abs(z) >= abs(observed) - 1e-6)
    return high, low, far


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_the_statistic_is_that_of_a_search_for_the_likeliest_disagreement(table):
    rows, b, c = table
    for difference in (-0.9, -0.31, -0.02, 0.0, 0.11, 0.5, 0.8):
        ours = float(score_statistic(rows, np.float64(b), np.float64(c), difference))
        assert ours == pytest.approx(slow_statistic(rows, b, c, difference), abs=2e-4)


@pytest.mark.parametrize("table", [one for one in TABLES if one[0] <= 12], ids=str)
def test_the_p_value_is_that_of_every_table_counted_one_by_one(table):
    for difference in (0.0, -0.25, 0.37):
        found = PairedShares(*table)
        ours = found.greater(difference), found.less(difference), found.two_sided(difference)
        assert ours == pytest.approx(slow_p_values(*table, difference), abs=1e-4)


@pytest.mark.parametrize("table", [one for one in TABLES if one[1] + one[2]], ids=str)
def test_the_statistic_of_no_difference_is_mcnemars(table):
    rows, b, c = table
    theirs = mcnemar([[rows - b - c, b], [c, 0]], exact=False, correction=False).statistic
    assert float(score_statistic(rows, np.float64(b), np.float64(c), 0.0)) ** 2 == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("table", "level", "limits"),
    [
        ((21, 1, 7), 0.05, (-0.517, -0.026)),  # R, PropCIs 0.3: scoreci.mp(7, 1, 21, 0.95), printed in ratesci's sources
        ((618, 28, 25), 0.10, (-0.0148, 0.0247)),  # R, PropCIs 0.3: scoreci.mp(25, 28, 618, 0.90)
    ],
)
def test_where_the_normal_curve_is_read_the_limits_are_those_of_r(table, level, limits):
    rows, b, c = table
    z = norm.ppf(1 - level / 2)
    value = (b - c) / rows

    def statistic(difference: float) -> float:
        return float(score_statistic(rows, np.float64(b), np.float64(c), difference))

    found = brentq(lambda d: statistic(d) - z, -0.99, value), brentq(lambda d: statistic(d) + z, value, 0.99)
    assert found == pytest.approx(limits, abs=6e-4)


@cache
def everything(rows: int) -> list[PairedShares]:
    return [PairedShares(rows, b, c) for b in range(rows + 1) for c in range(rows + 1 - b)]


@pytest.mark.parametrize("rows", [2, 5, 10, 15])
def test_interval_and_test_agree_and_stay_within_a_hundred_points_in_every_table(rows):
    for one in everything(rows):
        low, high = one.interval(0.05)
        assert -1 <= low <= one.value <= high <= 1
        assert low < high
        assert (low > 0 or high < 0) == (one.two_sided() <= 0.05)


def test_first_and_second_are_alike():
    for rows, b, c in TABLES:
        low, high = PairedShares(rows, b, c).interval(0.05)
        assert PairedShares(rows, c, b).interval(0.05) == pytest.approx((-high, -low), abs=1e-5)
        assert PairedShares(rows, b, c).greater(0.1) == pytest.approx(PairedShares(rows, c, b).less(-0.1))


PLACES = [
    (p, q, phi) for p in (0.02, 0.2, 0.5, 0.9, 0.98) for q in (0.02, 0.2, 0.5, 0.9, 0.98) if q <= p for phi in (0.0, 0.6)
]


@pytest.mark.parametrize("rows", [10, 15, 30])
def test_size_and_coverage_keep_their_promise_over_a_grid(rows):
    """Exact: every table with its chance, at pairs of probabilities that are independent or correlated."""
    tables = everything(rows)
    counts = np.array([(one.first_only, one.second_only, rows - one.first_only - one.second_only) for one in tables])
    limits = np.array([one.interval(0.05) for one in tables])
    for p, q, phi in PLACES:
        both = p * q + phi * math.sqrt(p * (1 - p) * q * (1 - q))
        if both > min(p, q) + 1e-12:
            continue
        chances = multinomial.pmf(counts, rows, [p - both, q - both, 1 - p - q + 2 * both])
        covered = float(chances[(limits[:, 0] <= p - q + 1e-12) & (p - q - 1e-12 <= limits[:, 1])].sum())
        assert covered >= 0.94, (p, q, phi)
        assert p != q or 1 - covered <= 0.055, (p, q, phi)
        if rows == 30 and 0.1 < q < p < 0.95:  # away from the corners it is not wider than it need be
            assert covered <= 0.975, (p, q, phi)


def test_five_rows_show_nothing_and_six_can():
    assert min(one.two_sided() for one in everything(5)) > 0.05
    assert PairedShares(6, 6, 0).two_sided() == pytest.approx(2 * 0.5**6)
