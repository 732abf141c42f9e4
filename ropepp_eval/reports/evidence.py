"""What rows say about a difference between two checkpoints: a value with a distribution that both test and interval come from.

Three kinds: `PairedShares` (one cell of independent 0/1 rows), `StudentDifference` (an average of such cells) and
`BootstrapDifference` (graded scores, perplexities, shared documents). `benchmarks/size_and_coverage.py` measures what they promise.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ropepp_eval.reports.aggregation import BOOTSTRAP_SEED, Floats
from ropepp_eval.reports.statistics import Contributions, Interval, contribution_error

DRAWS = 9999
"""Bootstrap draws of a test: p-values down to 1/10,000, which Holm over a whole table needs."""
FEWEST_DOCUMENTS = 8
"""Below this many independent documents neither size nor coverage of a clustered test is promised (docs/reports.md)."""


class Evidence(Protocol):
    """A difference and how sure it is. `interval(level)` holds the differences that `two_sided` gives more than `level`."""

    value: float
    method: str

    @property
    def error(self) -> float | None:
        """Standard error, for plans; None where there is none."""

    def two_sided(self, difference: float = 0.0) -> float | None:
        """p-value of the true difference being this; None where no test is possible."""

    def greater(self, difference: float) -> float | None:
        """p-value of the true difference being at most this; small where it is greater."""

    def less(self, difference: float) -> float | None:
        """p-value of the true difference being at least this; small where it is less."""

    def interval(self, level: float) -> Interval | None:
        """Holds the true difference with confidence 1 - level; None where nothing varies or one row is all there is."""


class StudentDifference:
    """A difference with a standard error: Student's t with these degrees of freedom, never beyond +-`limit`."""

    def __init__(self, value: float, error: float, freedom: float, limit: float, method: str = "t") -> None:
        self.value, self.error, self.freedom, self.limit, self.method = value, error, freedom, limit, method

    def two_sided(self, difference: float = 0.0) -> float:
        return min(1.0, 2 * min(self.greater(difference), self.less(difference)))

    def greater(self, difference: float) -> float:
        from scipy.stats import t

        return float(t.sf((self.value - difference) / self.error, self.freedom))

    def less(self, difference: float) -> float:
        return 1 - self.greater(difference)

    def interval(self, level: float) -> Interval:
        from scipy.stats import t

        return _within(self.value, float(t.ppf(1 - level / 2, self.freedom)) * self.error, self.limit)


def _within(value: float, reach: float, limit: float) -> Interval:
    return max(-limit, value - reach), min(limit, value + reach)


class BootstrapDifference:
    """The studentised paired bootstrap over documents, from their contributions to the difference.

    Tests and intervals read one set of draws. Where no document moves the estimate nothing varies: equal values are then equal
    (p = 1), others are tested by signs, as likely as so many coins alike, and there is no interval.
    """

    method = "bootstrap"

    def __init__(self, value: float, parts: Contributions, limit: float = math.inf) -> None:
        self.value, self.limit, self.documents = value, limit, len(parts.moves)
        self.error = contribution_error(parts)
        self._moves = parts.moves

    @functools.cached_property
    def _draws(self) -> Floats:
        return studentised_draws(self._moves)

    def _tail(self, beyond: int) -> float:
        return (1 + beyond) / (DRAWS + 1)

    def two_sided(self, difference: float = 0.0) -> float | None:
        if not self.error:
            return self._by_signs(self.value != difference, 2.0)
        distance = abs(self.value - difference) / self.error * (1 - 1e-12)
        return self._tail(int(np.sum(np.abs(self._draws) >= distance)))

    def greater(self, difference: float) -> float | None:
        if not self.error:
            return self._by_signs(self.value > difference, 1.0)
        return self._tail(int(np.sum(self._draws >= (self.value - difference) / self.error - 1e-12)))

    def less(self, difference: float) -> float | None:
        if not self.error:
            return self._by_signs(self.value < difference, 1.0)
        return self._tail(int(np.sum(self._draws <= (self.value - difference) / self.error + 1e-12)))

    def _by_signs(self, differs: bool, sides: float) -> float | None:
        if self.error is None:
            return None
        return min(1.0, sides * 0.5**self.documents) if differs else 1.0

    def interval(self, level: float) -> Interval | None:
        """The distances that more draws reach than `level` allows; the whole range where too many draws have no spread."""
        if not self.error:
            return None
        allowed = math.floor(level * (DRAWS + 1) + 1e-9) - 1
        reach = float(np.sort(np.abs(self._draws))[-(allowed + 1)]) * self.error * (1 + 1e-12)
        return _within(self.value, reach, self.limit) if math.isfinite(min(reach, self.limit)) else None


@functools.lru_cache(maxsize=4)
def _draw_counts(clusters: int, draws: int, block: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each resample: [draws, clusters]. Private stream, the same for every comparison."""
    stream = np.random.default_rng([BOOTSTRAP_SEED, clusters, block])
    drawn = stream.integers(0, clusters, size=(draws, clusters), dtype=np.int64)
    drawn += np.arange(draws)[:, None] * clusters  # a number of its own for every (draw, cluster), so one count does all
    return np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)


def studentised_draws(moves: Floats, draws: int = DRAWS) -> Floats:
    """t of each bootstrap draw around the observed sum: `moves` [..., clusters] -> [..., draws].

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
        away = np.abs(sums) > 1e-12 * np.abs(centred).sum(axis=-1, keepdims=True)
        distance = np.where(away, np.copysign(np.inf, sums), 0.0)
        np.divide(sums, np.sqrt(variance), out=distance, where=spread)
        blocks.append(distance)
    return np.concatenate(blocks, axis=-1)
