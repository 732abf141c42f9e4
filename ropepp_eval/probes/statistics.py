"""Means over rows with 95 % intervals, and paired differences, by the statistics of `reports`.

Scores of a task, which may be 0 or 1, get the intervals and tests that tables give them. What is measured of heads and losses is a number of
any size: Student's t over rows, where rows that share a document count once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ropepp_eval.reports.differences import paired_difference
from ropepp_eval.reports.statistics import contribution_error, contributions, linear_interval, score_interval


def mean_with_interval(values: Iterable[Any], clusters: Iterable[Any], *, scores: bool = False) -> dict[str, Any]:
    """mean, low, high (None for fewer than two rows or without spread) and rows."""
    numbers, names = [float(value) for value in values], list(clusters)
    if not numbers:
        return {"mean": None, "low": None, "high": None, "rows": 0}
    mean = sum(numbers) / len(numbers)
    interval = (
        score_interval("mean", numbers, names) if scores else linear_interval(mean, contributions("mean", numbers, names))
    )
    low, high = interval or (None, None)
    return {"mean": mean, "low": low, "high": high, "rows": len(numbers)}


def difference_with_interval(
    first: Iterable[Any], second: Iterable[Any], clusters: Iterable[Any], *, scores: bool = False
) -> dict[str, Any]:
    """difference (first minus second over the same rows), difference_low, difference_high and p of no difference."""
    pairs, names = list(zip(map(float, first), map(float, second), strict=True)), list(clusters)
    if scores:
        found = paired_difference("mean", [a for a, _ in pairs], [b for _, b in pairs], names)
        low, high = found.interval or (None, None)
        return {"difference": found.value, "difference_low": low, "difference_high": high, "p": found.p_value}
    apart = [a - b for a, b in pairs]
    mean = mean_with_interval(apart, names)
    return {
        "difference": mean["mean"],
        "difference_low": mean["low"],
        "difference_high": mean["high"],
        "p": _p_value(apart, names),
    }


def _p_value(apart: list[float], names: list[Any]) -> float | None:
    """Two-sided, by Student's t over clusters; None where there is no spread or one cluster."""
    from scipy.stats import t

    if not apart:
        return None
    parts = contributions("mean", apart, names)
    error = contribution_error(parts)
    return float(2 * t.sf(abs(sum(apart) / len(apart)) / error, len(parts.moves) - 1)) if error else None
