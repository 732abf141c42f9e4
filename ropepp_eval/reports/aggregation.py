"""From the scores of rows to one value with its standard error, by lm-eval 0.4.13's definitions.

Scores are numbers, or (sum, weight) pairs. Source: lm_eval/api/metrics.py of lm-eval 0.4.13, whose `mean`, `perplexity`,
`weighted_perplexity` and `bits_per_byte` these are; `window_perplexity` is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ropepp_eval.errors import unknown_name

BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 20260101
"""Seed of the bootstrap's own stream: the same rows give the same standard error everywhere."""

Floats = NDArray[np.float64]
Statistic = Callable[[Any, Any], Any]
"""From the mean numerator and mean denominator of the rows to the metric; works elementwise on arrays."""


def _ratio(top: Any, bottom: Any) -> Any:
    return np.divide(top, bottom)


STATISTICS: dict[str, Statistic] = {
    "mean": _ratio,
    "perplexity": lambda top, bottom: np.exp(-_ratio(top, bottom)),
    "weighted_perplexity": lambda top, bottom: np.exp(-_ratio(top, bottom)),
    "bits_per_byte": lambda top, bottom: -_ratio(top, bottom) / math.log(2),
    "window_perplexity": lambda top, bottom: np.exp(_ratio(top, bottom)),
}
"""Every aggregation is a function of one ratio, sum of numerators over sum of denominators, so one bootstrap serves all."""


def statistic(aggregation: str) -> Statistic:
    """The function behind the name of an aggregation.

    Raises:
        UserError: there is none of this name.
    """
    if aggregation not in STATISTICS:
        raise unknown_name("aggregation", aggregation, STATISTICS, "run.json of the results folder names it")
    return STATISTICS[aggregation]


def as_pairs(scores: Sequence[Any]) -> tuple[Floats, Floats]:
    """Numerators [n] and denominators [n]; a plain number counts with weight 1."""
    pairs = [score if isinstance(score, tuple) else (score, 1.0) for score in scores]
    array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def aggregate(aggregation: str, scores: Sequence[Any]) -> float | None:
    """The metric over `scores`; None where there is no score, or where the value is too large for a float."""
    function = statistic(aggregation)
    if not scores:
        return None
    top, bottom = as_pairs(scores)
    with np.errstate(all="ignore"):
        value = float(function(math.fsum(top), math.fsum(bottom)))
    return value if math.isfinite(value) else None


def standard_error(aggregation: str, scores: Sequence[Any]) -> float | None:
    """Standard error of the metric; None for fewer than two rows or a value that is not finite.

    `mean`: sample standard deviation over the root of n, as in lm-eval. The others: the standard deviation of 1,000
    bootstrap draws (lm-eval bootstraps `perplexity` the same way and gives none for the weighted ones).
    """
    function = statistic(aggregation)
    if len(scores) < 2:
        return None
    top, bottom = as_pairs(scores)
    if aggregation == "mean":
        return float(np.std(top, ddof=1) / math.sqrt(len(top)))
    draws = bootstrap_sums(np.stack([top, bottom]), BOOTSTRAP_DRAWS)
    with np.errstate(all="ignore"):
        spread = float(np.std(function(draws[0], draws[1]), ddof=1))
    return spread if math.isfinite(spread) else None


def bootstrap_sums(values: Floats, draws: int) -> Floats:
    """Sums over rows drawn with replacement: `values` [k, n] -> [k, draws]. Private stream, fixed seed."""
    stream = np.random.default_rng(BOOTSTRAP_SEED)
    count = values.shape[1]
    blocks = []
    rows_at_once = max(1, 4_000_000 // count)  # bounds the index table to 32 MB
    for start in range(0, draws, rows_at_once):
        picked = stream.integers(0, count, size=(min(rows_at_once, draws - start), count))
        blocks.append(values[:, picked].sum(axis=2))
    return np.concatenate(blocks, axis=1)
