"""Means over rows with 95 % intervals, and paired differences, by the statistics of `reports`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ropepp_eval.reports.differences import paired_difference
from ropepp_eval.reports.statistics import score_interval


def mean_with_interval(scores: Iterable[Any], clusters: Iterable[Any]) -> dict[str, Any]:
    """mean, low, high (None for fewer than two rows or without spread) and rows."""
    values = [float(score) for score in scores]
    interval = score_interval("mean", values, list(clusters)) if values else None
    low, high = interval or (None, None)
    return {"mean": sum(values) / len(values) if values else None, "low": low, "high": high, "rows": len(values)}


def difference_with_interval(first: Iterable[Any], second: Iterable[Any], clusters: Iterable[Any]) -> dict[str, Any]:
    """difference (first minus second over the same rows), difference_low, difference_high and p."""
    found = paired_difference("mean", [*map(float, first)], [*map(float, second)], list(clusters))
    low, high = found.interval or (None, None)
    return {"difference": found.value, "difference_low": low, "difference_high": high, "p": found.p_value}
