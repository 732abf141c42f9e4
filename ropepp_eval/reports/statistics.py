"""Intervals of scores (Wilson, bootstrap, clustered), what rows contribute to a metric, and Holm.

Every metric is a function g of a ratio, sum of numerators over sum of denominators (see aggregation.py), so its sampling
error is linear in the rows to first order: row i with (top, bottom) moves the metric by
g'(ratio) * (top - ratio * bottom) / sum(bottom). These *contributions*, added up within a source document (cluster), are all
that clustered errors, differences between checkpoints and averages over cells need. For a plain mean this is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ropepp_eval.reports.aggregation import BOOTSTRAP_SEED, Floats, Scores, statistic
from ropepp_eval.reports.columns import Integers, arrow_integers, as_numpy, numbers_of
from ropepp_eval.resolution import LEVEL

NOISE = 1e-12
"""Relative size below which a number is the rounding of a float sum and counts as 0, so that it is never evidence."""
Interval = tuple[float, float]
Clusters = Integers | Sequence[Hashable]
"""The cluster of each row: numbers, or names, which are numbered."""


class Contributions(NamedTuple):
    """How far the rows of each cluster move the estimate. They sum to 0 within a cell."""

    clusters: Integers
    """Each once, in the order in which they came."""
    moves: Floats


def wilson_interval(successes: float, rows: float) -> Interval:
    """Wilson's 95 % interval for a share; `rows` may be an effective number of rows."""
    from scipy.stats import norm

    share, z = successes / rows, float(norm.isf(LEVEL / 2))
    widening = 1 + z**2 / rows
    centre = (share + z**2 / (2 * rows)) / widening
    reach = z * math.sqrt(share * (1.0 - share) / rows + z**2 / (4.0 * rows**2)) / widening
    return min(1.0, max(0.0, centre - reach)), min(1.0, max(0.0, centre + reach))


def as_numbers(clusters: Clusters) -> Integers:
    """Clusters by number."""
    return clusters if isinstance(clusters, np.ndarray) else numbers_of(clusters)


def count_distinct(clusters: Clusters) -> int:
    return int(np.unique(as_numbers(clusters)).size)


def contributions(aggregation: str, scores: Scores | Sequence[Any], clusters: Clusters) -> Contributions:
    """How far each cluster moves the metric over `scores`."""
    found = Scores.of(scores)
    top, bottom = found.tops, found.bottoms
    total, weight = top.sum(), bottom.sum()
    moves = top - total / weight * bottom
    moves[np.abs(moves) <= NOISE * np.abs(top).max()] = 0.0
    moves *= _derivative(aggregation, total / weight) / weight
    return _added_up(as_numbers(clusters), moves)


def _added_up(clusters: Integers, moves: Floats) -> Contributions:
    """Moves by cluster. Sums of terms that cancel leave 1e-18 in place of 0, which must not count as spread."""
    coded = arrow_integers(clusters).dictionary_encode()
    sums = np.bincount(as_numpy(coded.indices), weights=moves, minlength=len(coded.dictionary)).astype(
        np.float64, copy=False
    )
    sums[np.abs(sums) <= NOISE * np.abs(moves).max(initial=0.0)] = 0.0
    return Contributions(as_numpy(coded.dictionary), sums)


def _derivative(aggregation: str, ratio: float) -> float:
    if aggregation == "mean":
        return 1.0
    if aggregation == "bits_per_byte":
        return -1 / math.log(2)
    value = float(statistic(aggregation)(ratio, 1.0))
    return value if aggregation == "window_perplexity" else -value


def combined(parts: Sequence[tuple[float, Contributions]]) -> Contributions:
    """Contributions to a weighted sum of estimates; a cluster that stands in several of them is one cluster."""
    clusters = np.concatenate([part.clusters for _, part in parts])
    return _added_up(clusters, np.concatenate([weight * part.moves for weight, part in parts]))


def contribution_error(parts: Contributions) -> float | None:
    """Standard error from independent clusters; None for fewer than two."""
    count = len(parts.moves)
    if count < 2:
        return None
    return math.sqrt(float(np.cumsum(parts.moves**2)[-1]) * count / (count - 1))


def score_interval(aggregation: str, scores: Scores | Sequence[Any], clusters: Clusters) -> Interval | None:
    """95 % interval of one cell's metric; None for fewer than two rows or scores without any spread.

    0/1 scores: Wilson; where rows share documents, at the effective number of rows. Others: bootstrap (BCa) over documents.
    """
    if len(scores) < 2:
        return None
    found = Scores.of(scores)
    top, bottom = found.tops, found.bottoms
    if aggregation == "mean" and ((top == 0.0) | (top == 1.0)).all():
        effective = effective_rows(top, clusters)
        return wilson_interval(float(top.mean()) * effective, effective)
    return bootstrap_interval(top, bottom, clusters, statistic(aggregation))


def effective_rows(scores: Floats, clusters: Clusters) -> float:
    """How many independent 0/1 rows would be as certain as these clustered ones; never more than there are.

    Rows over the design effect (clustered variance over binomial variance). Where all scores are equal the data say nothing
    about the clustering, and each document counts once.
    """
    rows, share, documents = len(scores), float(scores.mean()), count_distinct(clusters)
    if documents == rows:
        return float(rows)
    error = contribution_error(contributions("mean", list(scores), clusters))
    if not error:
        return float(documents)
    return min(float(rows), share * (1 - share) / error**2)


def bootstrap_interval(top: Floats, bottom: Floats, clusters: Clusters, function: Callable[..., Any]) -> Interval | None:
    """scipy's BCa bootstrap interval of `function(sum(top), sum(bottom))` over clusters; None where it has no spread."""
    from scipy.stats import bootstrap

    index = as_numpy(arrow_integers(as_numbers(clusters)).dictionary_encode().indices)
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
    rows = estimate * (1 - estimate) / error**2 if error > 1e-9 else float(len(parts.moves))
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
    reach = float(t.ppf(1 - LEVEL / 2, len(parts.moves) - 1)) * error
    return estimate - reach, estimate + reach


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values; what was not tested stays None and is not counted."""
    tested = np.array([p for p in p_values if p is not None])
    order = np.argsort(tested)
    stepped = np.maximum.accumulate(tested[order] * np.arange(len(tested), 0, -1)) if len(tested) else tested
    adjusted = np.empty_like(tested)
    adjusted[order] = np.minimum(stepped, 1.0)
    values = iter(adjusted.tolist())
    return [None if p is None else next(values) for p in p_values]
