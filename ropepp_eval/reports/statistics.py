"""Intervals and tests for scores: Wilson, bootstrap, clustered, McNemar, paired bootstrap, Holm.

Every metric is a function g of a ratio, sum of numerators over sum of denominators (see aggregation.py), so its sampling
error is linear in the rows to first order: row i with (top, bottom) moves the metric by
g'(ratio) * (top - ratio * bottom) / sum(bottom). These *contributions*, added up within a source document (cluster), are all
that clustered errors, differences between checkpoints and averages over cells need. For a plain mean this is exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ropepp_eval.reports.aggregation import BOOTSTRAP_SEED, Floats, as_pairs, statistic
from ropepp_eval.resolution import LEVEL

DRAWS = 9999
"""Bootstrap draws of a test: p-values down to 1/10,000, which Holm over a whole table needs."""
Interval = tuple[float, float]
Contributions = dict[Hashable, float]
"""Cluster -> how far its rows move the estimate. They sum to 0 within a cell."""


def wilson_interval(successes: float, rows: float) -> Interval:
    """Wilson's 95 % interval for a share; `rows` may be an effective number of rows."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, rows, alpha=LEVEL, method="wilson")
    return float(low), float(high)


def clusters_of(rows: Sequence[Mapping[str, Any]]) -> list[Hashable]:
    """The cluster of each row: its source document, or the row itself where it shares none."""
    return [(row["task"], row["cluster"]) if row.get("cluster") else row["row_sha256"] for row in rows]


def contributions(aggregation: str, scores: Sequence[Any], clusters: Sequence[Hashable]) -> Contributions:
    """How far each cluster moves the metric over `scores`."""
    top, bottom = as_pairs(scores)
    total, weight = top.sum(), bottom.sum()
    moves = (top - total / weight * bottom) / weight * _derivative(aggregation, total / weight)
    summed: Contributions = {}
    for cluster, move in zip(clusters, moves, strict=True):
        summed[cluster] = summed.get(cluster, 0.0) + float(move)
    return summed


def _derivative(aggregation: str, ratio: float) -> float:
    if aggregation == "mean":
        return 1.0
    if aggregation == "bits_per_byte":
        return -1 / math.log(2)
    value = float(statistic(aggregation)(ratio, 1.0))
    return value if aggregation == "window_perplexity" else -value


def combined(parts: Sequence[tuple[float, Contributions]]) -> Contributions:
    """Contributions to a weighted sum of estimates; a cluster that stands in several of them is one cluster."""
    summed: Contributions = {}
    for weight, part in parts:
        for cluster, move in part.items():
            summed[cluster] = summed.get(cluster, 0.0) + weight * move
    return summed


def contribution_error(parts: Contributions) -> float | None:
    """Standard error from independent clusters; None for fewer than two."""
    count = len(parts)
    if count < 2:
        return None
    return math.sqrt(sum(move**2 for move in parts.values()) * count / (count - 1))


def score_interval(aggregation: str, scores: Sequence[Any], clusters: Sequence[Hashable]) -> Interval | None:
    """95 % interval of one cell's metric; None for fewer than two rows or scores without any spread.

    0/1 scores: Wilson; where rows share documents, at the effective number of rows. Others: bootstrap (BCa) over documents.
    """
    if len(scores) < 2:
        return None
    top, bottom = as_pairs(scores)
    if aggregation == "mean" and np.isin(top, (0.0, 1.0)).all():
        effective = effective_rows(top, clusters)
        return wilson_interval(float(top.mean()) * effective, effective)
    return bootstrap_interval(top, bottom, clusters, statistic(aggregation))


def effective_rows(scores: Floats, clusters: Sequence[Hashable]) -> float:
    """How many independent 0/1 rows would be as certain as these clustered ones; never more than there are.

    Rows over the design effect (clustered variance over binomial variance). Where all scores are equal the data say nothing
    about the clustering, and each document counts once.
    """
    rows, share, documents = len(scores), float(scores.mean()), len(set(clusters))
    if documents == rows:
        return float(rows)
    error = contribution_error(contributions("mean", list(scores), clusters))
    if not error:
        return float(documents)
    return min(float(rows), share * (1 - share) / error**2)


def bootstrap_interval(
    top: Floats, bottom: Floats, clusters: Sequence[Hashable], function: Callable[..., Any]
) -> Interval | None:
    """scipy's BCa bootstrap interval of `function(sum(top), sum(bottom))` over clusters; None where it has no spread."""
    from scipy.stats import bootstrap

    names = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[cluster] for cluster in clusters])
    tops, bottoms = np.bincount(index, top), np.bincount(index, bottom)
    if len(tops) < 2 or np.ptp(tops / bottoms) == 0:
        return None
    with np.errstate(all="ignore"):
        found = bootstrap(
            (tops, bottoms),
            lambda one, other, axis=-1: function(one.sum(axis=axis), other.sum(axis=axis)),
            paired=True,
            vectorized=True,
            n_resamples=1999,
            batch=max(1, 2_000_000 // len(tops)),
            confidence_level=1 - LEVEL,
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def share_interval(estimate: float, parts: Contributions) -> Interval | None:
    """95 % interval of an average of shares (0-1): Wilson at the effective number of rows; None for fewer than two clusters.

    Rows are effective as far as they explain the clustered error; without any spread each cluster counts once.
    """
    error = contribution_error(parts)
    if error is None:
        return None
    rows = estimate * (1 - estimate) / error**2 if error > 1e-9 else float(len(parts))
    return wilson_interval(estimate * rows, rows)


def interval_from_error(value: float, error: float | None, rows: int, *, share: bool) -> Interval | None:
    """95 % interval where only the value, its standard error and the number of rows are known.

    Shares: Wilson at the number of rows that the error tells of (of 0/1 scores all, since lm-eval's error divides by
    rows - 1); others: Student's t.
    """
    from scipy.stats import t

    if share:
        effective = value * (1 - value) / error**2 * rows / (rows - 1) if error else float(rows)
        return wilson_interval(value * effective, effective)
    if not error:
        return None
    reach = float(t.ppf(1 - LEVEL / 2, rows - 1)) * error
    return value - reach, value + reach


def linear_interval(estimate: float, parts: Contributions) -> Interval | None:
    """95 % interval of any other average over cells, by Student's t over clusters; None without spread."""
    from scipy.stats import t

    error = contribution_error(parts)
    if not error:
        return None
    reach = float(t.ppf(1 - LEVEL / 2, len(parts) - 1)) * error
    return estimate - reach, estimate + reach


@dataclass(frozen=True)
class Difference:
    """First minus second, over rows that both checkpoints answered."""

    value: float
    interval: Interval | None
    """95 %; None where nothing varies or there is one row."""
    p_value: float | None
    """None where no test is possible (one row or cluster)."""
    rows: int
    method: str


def mcnemar_exact(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided exact McNemar p-value for paired 0/1 scores (statsmodels)."""
    from statsmodels.stats.contingency_tables import mcnemar

    pairs = list(zip(first, second, strict=True))
    table = [[pairs.count((a, b)) for b in (1.0, 0.0)] for a in (1.0, 0.0)]
    if table[0][1] + table[1][0] == 0:
        return 1.0  # no row differs, so nothing speaks against equality
    return float(mcnemar(table, exact=True).pvalue)


@functools.lru_cache(maxsize=4)
def _draw_counts(clusters: int, draws: int, block: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each resample: [draws, clusters]. Private stream, the same for every comparison."""
    stream = np.random.default_rng([BOOTSTRAP_SEED, clusters, block])
    drawn = stream.integers(0, clusters, size=(draws, clusters), dtype=np.int64)
    drawn += np.arange(draws)[:, None] * clusters  # a number of its own for every (draw, cluster), so one count does all
    return np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)


def studentised_draws(moves: Floats, draws: int = DRAWS) -> Floats:
    """|t| of each bootstrap draw around the observed sum: `moves` [..., clusters] -> [..., draws].

    The studentised bootstrap keeps a test's size near its level for few rows, where the plain percentile bootstrap rejects
    too often. A draw without spread counts as infinitely far unless it hits the observed sum exactly.
    """
    clusters = moves.shape[-1]
    centred = moves - moves.mean(axis=-1, keepdims=True)
    at_once = max(1, 5_000_000 // clusters)
    blocks = []
    for start in range(0, draws, at_once):
        counts = _draw_counts(clusters, min(at_once, draws - start), start)
        sums, squares = centred @ counts.T, centred**2 @ counts.T
        variance = np.maximum(squares - sums**2 / clusters, 0.0) * clusters / (clusters - 1)
        spread = variance > 1e-12 * np.sum(centred**2, axis=-1, keepdims=True)
        distance = np.where(np.abs(sums) > 1e-12 * np.abs(centred).sum(axis=-1, keepdims=True), np.inf, 0.0)
        np.divide(np.abs(sums), np.sqrt(variance), out=distance, where=spread)
        blocks.append(distance)
    return np.concatenate(blocks, axis=-1)


def paired_bootstrap(value: float, parts: Contributions) -> tuple[Interval | None, float | None]:
    """95 % interval and two-sided p-value of a difference with these contributions, by the studentised paired bootstrap.

    The interval leaves out 0 exactly where p is at most the level (but for the grain of the draws). Where every cluster differs
    by the same amount there is no spread and no interval; p is then the sign test's.
    """
    error = contribution_error(parts)
    if error is None:
        return None, None
    if error == 0:
        return None, 1.0 if value == 0 else min(1.0, 2 * 0.5 ** len(parts))
    distances = studentised_draws(np.array(list(parts.values())))
    p_value = (1 + int(np.sum(distances >= abs(value) / error * (1 - 1e-12)))) / (DRAWS + 1)
    reach = float(np.quantile(distances, 1 - LEVEL, method="higher")) * error
    return ((value - reach, value + reach) if math.isfinite(reach) else None), p_value


def paired_difference(
    aggregation: str, first: Sequence[Any], second: Sequence[Any], clusters: Sequence[Hashable]
) -> Difference:
    """First minus second over the same rows: exact McNemar for independent 0/1 rows, the paired bootstrap otherwise.

    The interval is the bootstrap's in both cases.
    """
    value = _value(aggregation, first) - _value(aggregation, second)
    parts = combined(
        [(1.0, contributions(aggregation, first, clusters)), (-1.0, contributions(aggregation, second, clusters))]
    )
    interval, p_value = paired_bootstrap(value, parts)
    binary = aggregation == "mean" and {*first, *second} <= {0.0, 1.0} and len(set(clusters)) == len(first)
    if binary and len(first) > 1:
        return Difference(value, interval, mcnemar_exact(first, second), len(first), "McNemar, exact")
    return Difference(value, interval, p_value, len(first), "paired bootstrap")


def _value(aggregation: str, scores: Sequence[Any]) -> float:
    top, bottom = as_pairs(scores)
    return float(statistic(aggregation)(math.fsum(top), math.fsum(bottom)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (statsmodels); what was not tested stays None and is not counted."""
    from statsmodels.stats.multitest import multipletests

    tested = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(tested, alpha=LEVEL, method="holm")[1] if tested else [])
    return [None if p is None else float(next(adjusted)) for p in p_values]
