"""From the scores of rows to one value with its standard error, by lm-eval 0.4.13's definitions.

Scores are numbers, or (sum, weight) pairs. Source: lm_eval/api/metrics.py of lm-eval 0.4.13, whose `mean`, `perplexity`,
`weighted_perplexity` and `bits_per_byte` these are; `window_perplexity` is ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of rows as arrays. As a sequence: numbers, and pairs where a score was one."""

    tops: Floats
    """Numerators [n]."""
    bottoms: Floats
    """Denominators [n]; 1 of a plain number."""
    pairs: NDArray[np.bool_]
    """Which were (sum, weight) pairs."""

    @classmethod
    def of(cls, scores: Scores | Sequence[Any]) -> Scores:
        """Of numbers and pairs in a list."""
        if isinstance(scores, Scores):
            return scores
        pairs = [isinstance(score, (list, tuple)) for score in scores]
        both = [score if pair else (score, 1.0) for score, pair in zip(scores, pairs, strict=True)]
        array = np.asarray(both, dtype=np.float64).reshape(-1, 2)
        return cls(array[:, 0].copy(), array[:, 1].copy(), np.asarray(pairs, dtype=bool))

    def __len__(self) -> int:
        return len(self.tops)

    def __iter__(self) -> Iterator[float | tuple[float, float]]:
        for top, bottom, pair in zip(self.tops.tolist(), self.bottoms.tolist(), self.pairs.tolist(), strict=True):
            yield (top, bottom) if pair else top

    def __getitem__(self, places: NDArray[np.int64] | slice) -> Scores:
        return Scores(self.tops[places], self.bottoms[places], self.pairs[places])

    @functools.cached_property
    def plain(self) -> bool:
        """Whether all are plain numbers."""
        return not self.pairs.any()

    @functools.cached_property
    def sums(self) -> tuple[float, float]:
        """Of numerators and denominators, rounded once."""
        return math.fsum(self.tops.tolist()), math.fsum(self.bottoms.tolist())

    @functools.cached_property
    def right_or_wrong(self) -> bool:
        """Whether all are plain 0 and 1."""
        return self.plain and bool(((self.tops == 0) | (self.tops == 1)).all())

    @functools.cached_property
    def shares(self) -> bool:
        """Whether all are plain numbers from 0 to 1."""
        return self.plain and bool(((self.tops >= 0) & (self.tops <= 1)).all())


def aggregate(aggregation: str, scores: Scores | Sequence[Any]) -> float | None:
    """The metric over `scores`; None where there is no score, or where the value is too large for a float."""
    function = statistic(aggregation)
    if not len(scores):
        return None
    with np.errstate(all="ignore"):
        value = float(function(*Scores.of(scores).sums))
    return value if math.isfinite(value) else None


def standard_error(aggregation: str, scores: Scores | Sequence[Any]) -> float | None:
    """Standard error of the metric; None for fewer than two rows or a value that is not finite.

    `mean`: sample standard deviation over the root of n, as in lm-eval. The others: the standard deviation of 1,000
    bootstrap draws (lm-eval bootstraps `perplexity` the same way and gives none for the weighted ones).
    """
    function = statistic(aggregation)
    if len(scores) < 2:
        return None
    top, bottom = Scores.of(scores).tops, Scores.of(scores).bottoms
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
