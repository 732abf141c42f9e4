"""Means over rows with 95 % intervals, and paired differences, by the statistics of `reports`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from ropepp_eval.reports.differences import paired_difference
from ropepp_eval.reports.statistics import score_interval

if TYPE_CHECKING:
    import pandas


def mean_with_interval(scores: Sequence[float], clusters: Sequence[Hashable]) -> dict[str, Any]:
    """mean, low, high (None for fewer than two rows or without spread) and rows."""
    values = [float(score) for score in scores]
    interval = score_interval("mean", values, list(clusters)) if values else None
    low, high = interval or (None, None)
    return {"mean": sum(values) / len(values) if values else None, "low": low, "high": high, "rows": len(values)}


def difference_with_interval(first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable]) -> dict[str, Any]:
    """difference (first minus second over the same rows), difference_low, difference_high and p."""
    found = paired_difference("mean", [*map(float, first)], [*map(float, second)], list(clusters))
    low, high = found.interval or (None, None)
    return {"difference": found.value, "difference_low": low, "difference_high": high, "p": found.p_value}


def summarise(frame: pandas.DataFrame, by: Sequence[str], value: str) -> pandas.DataFrame:
    """One line a group of `by`: the mean of `value` over rows with its interval. Lines of one row are averaged first."""
    import pandas

    lines = []
    for name, group in frame.groupby(list(by), sort=False, dropna=False):
        rows = group.groupby(["row", "cluster"], sort=False)[value].mean().reset_index()
        names = name if isinstance(name, tuple) else (name,)
        lines.append(dict(zip(by, names, strict=True)) | mean_with_interval(rows[value], rows["cluster"]))
    return pandas.DataFrame(lines, columns=[*by, "mean", "low", "high", "rows"])
