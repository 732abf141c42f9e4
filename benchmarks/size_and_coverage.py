"""Do tests and intervals keep their promise? Size, coverage, width and power over a grid of numbers of rows and of true scores.

Shares of one cell are enumerated (every table with its chance), beyond 100 rows for our own method alone; the rest is drawn, with fixed
seeds, through the functions that `ropepp-eval compare` calls. Prints the tables of docs/reports.md, then the bars.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import _common as common
import numpy as np
from scipy.stats import binom, multinomial, norm

from ropepp_eval.reports.differences import Difference, PairedScores, difference_of
from ropepp_eval.reports.paired_shares import PairedShares, score_statistic

ROWS = (10, 15, 30, 100, 500)
SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
LEVEL = 0.05
SEED = 20260201


@dataclass(frozen=True)
class Place:
    """Chances of two checkpoints to be right, and how their rows hang together (phi)."""

    first: float
    second: float
    phi: float

    @property
    def chances(self) -> list[float]:
        """Of a row right in the first alone, in the second alone, and in both or none."""
        spread = self.first * (1 - self.first) * self.second * (1 - self.second)
        both = self.first * self.second + self.phi * math.sqrt(spread)
        return [self.first - both, self.second - both, 1 - self.first - self.second + 2 * both]

    @property
    def difference(self) -> float:
        return self.first - self.second

    def corner(self, rows: int) -> bool:
        """Fewer than five rows differ on average: too few tables are likely for any method to be exact."""
        return rows * sum(self.chances[:2]) < 5


def places() -> list[Place]:
    """The grid; correlations that the chances do not allow are left out."""
    found = [Place(p, q, phi) for p in SHARES for q in SHARES if q <= p for phi in (0.0, 0.5)]
    return [place for place in found if min(place.chances) >= 0]


@dataclass(frozen=True)
class Judged:
    """What a method says of a table: the p-value of no difference, and the interval or None."""

    p_value: float
    interval: tuple[float, float] | None


@functools.cache
def counted_score(rows: int, b: int, c: int) -> Judged:
    """Ours."""
    if b < c:
        turned = counted_score(rows, c, b)
        assert turned.interval is not None
        return Judged(turned.p_value, (-turned.interval[1], -turned.interval[0]))
    found = PairedShares(rows, b, c)
    return Judged(found.two_sided(), found.interval(LEVEL))


def score_by_the_normal_curve(rows: int, b: int, c: int) -> Judged:
    """Tango's own interval: the same statistic read from the normal curve."""
    from scipy.optimize import brentq

    z, value = norm.isf(LEVEL / 2), (b - c) / rows

    def off(difference: float, sign: float) -> float:
        return float(score_statistic(rows, np.float64(b), np.float64(c), difference)) - sign * z

    low = brentq(off, -1 + 1e-9, value, (1.0,), xtol=1e-5) if off(-1 + 1e-9, 1.0) > 0 and off(value, 1.0) < 0 else -1.0
    high = brentq(off, value, 1 - 1e-9, (-1.0,), xtol=1e-5) if off(1 - 1e-9, -1.0) < 0 and off(value, -1.0) > 0 else 1.0
    return Judged(2 * norm.sf(abs(b - c) / math.sqrt(b + c)) if b + c else 1.0, (low, high))


def newcombe(rows: int, b: int, c: int, both: int) -> Judged:
    """Newcombe 1998, method 10: Wilson's limits squared and added, with phi; it needs the rows that both have right."""
    from statsmodels.stats.proportion import proportion_confint

    neither = rows - b - c - both
    p, q = (b + both) / rows, (c + both) / rows
    (l1, u1), (l2, u2) = (proportion_confint(k, rows, LEVEL, "wilson") for k in (b + both, c + both))
    top = both * neither - b * c
    top = max(top - rows / 2, 0) if top > 0 else top
    under = math.sqrt((both + b) * (c + neither) * (both + c) * (b + neither))
    phi = top / under if under else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))

    return Judged(math.nan, (p - q - reach(p - l1, u2 - q), p - q + reach(u1 - p, q - l2)))


def mcnemar(rows: int, b: int, c: int, *, middle: bool) -> Judged:
    """The exact test, or mid-p; neither has an interval of the difference."""
    p = 2 * binom.cdf(min(b, c), b + c, 0.5)
    p -= binom.pmf(b, b + c, 0.5) if middle else 0.0
    return Judged(min(1.0, float(p)) if b != c else 1.0, None)


OURS = "score, counted (ours)"
INTERVALS = 8
"""Intervals made at each place beyond 100 rows."""
METHODS = {
    OURS: lambda n, b, c, both: counted_score(n, b, c),
    "score, normal curve": lambda n, b, c, both: score_by_the_normal_curve(n, b, c),
    "Newcombe": newcombe,
    "McNemar, exact": lambda n, b, c, both: mcnemar(n, b, c, middle=False),
    "McNemar, mid-p": lambda n, b, c, both: mcnemar(n, b, c, middle=True),
}


@dataclass(frozen=True)
class Found:
    """What a method did at a place."""

    place: Place
    rejected: float
    covered: float
    width: float
    beyond: float
    """Chance of an interval that passes 100 points."""
    disagree: float
    """Chance of an interval that says other than the p-value."""


def tables_at(rows: int, place: Place, draws: int) -> tuple[Any, Any]:
    """Counts (b, c, both) [tables, 3] at a place with their weights [tables]: drawn, or with 0 draws all, the likeliest first."""
    both = (place.first + place.second - place.chances[0] - place.chances[1]) / 2
    chances = [place.chances[0], place.chances[1], both, 1 - sum(place.chances[:2]) - both]
    stream = np.random.default_rng([SEED, rows, int(1000 * place.first), int(1000 * place.second), int(10 * place.phi)])
    if draws:
        counts, number = np.unique(stream.multinomial(rows, chances, draws)[:, :3], axis=0, return_counts=True)
        return counts, number / draws
    pairs = np.array([(b, c) for b in range(rows + 1) for c in range(rows + 1 - b)])
    weights = multinomial.pmf(np.c_[pairs, rows - pairs.sum(1)], rows, place.chances)
    kept = weights > 1e-9
    pairs, weights = pairs[kept], weights[kept]
    rest = max(both / max(both + chances[3], 1e-300), 0.0)
    shared = stream.binomial(rows - pairs.sum(1), min(1.0, rest))  # Newcombe's interval needs it, nothing else does
    order = np.argsort(-weights, kind="stable")
    return np.c_[pairs, shared][order], weights[order]


def judge(name: str, rows: int, place: Place, quick: bool) -> Found:
    # beyond 100 rows an interval of ours is too slow for every table, and its p-value at the truth says the same; others are drawn
    counted = rows > 100 and name == OURS
    draws = 60 if quick else 1500
    counts, weights = tables_at(rows, place, 0 if rows <= 100 or counted else draws)
    some = slice(0, INTERVALS if counted else None)
    judged = [METHODS[name](rows, *map(int, one)) for one in counts[some]]
    nothing = (math.nan, math.nan)
    low, high = np.array([one.interval or nothing for one in judged]).T
    shows = (low > 0) | (high < 0)
    own = np.array([one.p_value for one in judged]) <= LEVEL
    own = shows if name == "Newcombe" else own
    inside = (low <= place.difference + 1e-9) & (place.difference - 1e-9 <= high)
    significant = own
    if counted:
        tables = [PairedShares(rows, int(b), int(c)) for b, c, _ in counts]
        significant = np.array([one.two_sided() <= LEVEL for one in tables])
        inside = np.array([one.two_sided(place.difference) > LEVEL for one in tables])
    share = weights[some] / weights[some].sum()
    return Found(
        place, float(weights[significant].sum()), float(weights[inside].sum()), float(share @ (high - low)),
        float(share[(low < -1) | (high > 1)].sum()), float(share[shows != own].sum()),
    )  # fmt: skip


def shares(quick: bool, sizes: tuple[int, ...] = ROWS) -> list[common.Check]:
    """One cell of independent 0/1 rows, every method."""
    print(
        "\n| rows | method | size at most | coverage, lowest | coverage off the corners | width, mean | power, mean | p and interval disagree |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    checks = []
    for rows in sizes[:3] if quick else sizes:
        for name in METHODS:
            found = [judge(name, rows, place, quick) for place in places()]
            size = max(one.rejected for one in found if one.place.difference == 0)
            off = [one.covered for one in found if not one.place.corner(rows)]
            power = np.mean([one.rejected for one in found if one.place.difference > 0.15])
            interval = name.partition(",")[0] != "McNemar"
            lowest, width, odd = (
                min(one.covered for one in found),
                np.mean([one.width for one in found]),
                max(one.disagree for one in found),
            )
            cells = [
                percent(size),
                *(
                    [percent(lowest), f"{percent(min(off))} to {percent(max(off))}", f"{100 * width:.1f}"]
                    if interval
                    else ["", "", ""]
                ),
            ]
            print(
                f"| {rows} | {name} | {' | '.join(cells)} | {percent(power)} | {percent(odd) if interval else ''} |",
                flush=True,
            )
            if name == OURS:
                checks += [
                    common.Check(f"shares, {rows} rows: size", size, 0.055, exact=True),
                    common.Check(f"shares, {rows} rows: coverage", lowest, 0.94, "at least", exact=True),
                    common.Check(
                        f"shares, {rows} rows: intervals beyond 100 points", max(one.beyond for one in found), 0, exact=True
                    ),
                    common.Check(f"shares, {rows} rows: interval and p disagree", odd, 0, exact=True),
                ]
    return checks


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# The rest is drawn, through `difference_of`.


def scores(stream: Any, kind: str, rows: int, shift: float) -> tuple[Any, Any]:
    """Paired graded scores 0-1 of two checkpoints, the first better by about `shift`."""
    hardness = stream.random(rows)
    one, other = (np.clip(hardness + up + stream.normal(0, 0.2, rows), 0, 1) for up in (shift, 0.0))
    if kind == "thirds":
        return np.round(3 * one) / 3, np.round(3 * other) / 3
    if kind == "mostly right":
        return np.where(one > 0.2, 1.0, one), np.where(other > 0.2, 1.0, other)
    return one, other


def clustered(stream: Any, documents: int, shift: float) -> tuple[Any, Any, list[int]]:
    """0/1 scores of five questions a document; documents differ in hardness, for each checkpoint in its own way too."""
    hard = stream.normal(0, 0.8, documents)
    own = [np.repeat(hard + stream.normal(0, 0.6, documents), 5) for _ in range(2)]
    one, other = (
        (stream.normal(0, 1, 5 * documents) < level + up).astype(float) for level, up in zip(own, (shift, 0.0), strict=True)
    )
    return one, other, [row // 5 for row in range(5 * documents)]


def average(stream: Any, tasks: int, rows: int, pairs: list[Place]) -> list[PairedScores]:
    """Cells of independent 0/1 rows, a task each, weighing the same."""
    cells = []
    for task in range(tasks):
        kinds = stream.choice(3, rows, p=pairs[task % len(pairs)].chances)
        one, other = (kinds == 0).astype(float), (kinds == 1).astype(float)
        cells.append(PairedScores.of("mean", list(one), list(other), [(task, row) for row in range(rows)], 1 / tasks))
    return cells


def drawn(title: str, make: Any, true: float, draws: int) -> tuple[float, int]:
    """Coverage of the true difference over many draws, and how often interval and p disagree; prints one line."""
    inside = odd = without = beyond = 0
    width = 0.0
    for number in range(draws):
        found: Difference = make(np.random.default_rng([SEED, number]))
        interval, p = found.interval, found.p_value
        if interval is None:
            without += 1
            inside += true == 0 and p is not None and p > LEVEL
            continue
        inside += bool(interval[0] <= true <= interval[1])
        odd += bool((interval[0] > 0 or interval[1] < 0) != (p is not None and p <= LEVEL))
        beyond += bool(interval[0] < -1 or interval[1] > 1)
        width += interval[1] - interval[0]
    size = percent(1 - inside / draws) if true == 0 else ""
    width /= max(1, draws - without)
    print(
        f"| {title} | {100 * true:.1f} | {size} | {percent(inside / draws)} | {100 * width:.1f} | {without} | {odd + beyond} |",
        flush=True,
    )
    return inside / draws, int(odd + beyond)


def cases(quick: bool) -> Iterator[tuple[str, Any, float, bool]]:
    """Title, maker of a difference, the true one, and whether a promise is made."""
    big = np.random.default_rng(SEED)
    for kind in ("even", "thirds", "mostly right"):
        for shift in (0.0, 0.15):
            one, other = scores(big, kind, 1_000_000, shift)
            true = float(np.mean(one - other)) if shift else 0.0
            for rows in ROWS[:2] if quick else ROWS:
                yield f"graded, {kind}, {rows} rows", functools.partial(_graded, kind, rows, shift), true, True
    for shift in (0.0, 0.6):
        one, other, _ = clustered(big, 400_000, shift)
        true = float(np.mean(one - other)) if shift else 0.0
        for documents in (8, 20) if quick else (4, 8, 12, 20, 40, 100):
            yield (
                f"0/1, five rows a document, {documents} documents",
                functools.partial(_clustered, documents, shift),
                true,
                documents >= 8,
            )
    mixed = {
        "alike": [Place(0.5, 0.5, 0.5)], "better": [Place(0.8, 0.4, 0.0)], "near 100 %": [Place(0.98, 0.98, 0.0), Place(0.98, 0.9, 0.0)],
    }  # fmt: skip
    for name, pairs in mixed.items():
        for tasks in (2, 13):
            true = float(np.mean([pairs[task % len(pairs)].difference for task in range(tasks)]))
            for rows in (10, 30) if quick else ROWS:
                yield (
                    f"average of {tasks} tasks, {name}, {rows} rows each",
                    functools.partial(_average, tasks, rows, pairs),
                    true,
                    True,
                )


def _graded(kind: str, rows: int, shift: float, stream: Any) -> Difference:
    one, other = scores(stream, kind, rows, shift)
    return difference_of([PairedScores.of("mean", list(one), list(other), list(range(rows)))])


def _clustered(documents: int, shift: float, stream: Any) -> Difference:
    one, other, clusters = clustered(stream, documents, shift)
    return difference_of([PairedScores.of("mean", list(one), list(other), clusters)])


def _average(tasks: int, rows: int, pairs: list[Place], stream: Any) -> Difference:
    return difference_of(average(stream, tasks, rows, pairs))


def others(quick: bool, lines: str = "", draws: int = 2000) -> list[common.Check]:
    """Graded scores, shared documents, averages; of them the lines whose title holds `lines`."""
    print("\n| scores | true difference | size | coverage | width, mean | without interval | odd |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    draws = 200 if quick else draws
    noise = math.sqrt(0.05 * 0.95 / draws)  # one standard deviation; of so many lines one lies two below its own coverage
    found: dict[str, list[tuple[float, int]]] = {}
    for title, make, true, promised in cases(quick):
        if lines not in title:
            continue
        one = drawn(title, make, true, draws)
        found.setdefault(title.partition(",")[0].split(" of ")[0] if promised else "not promised", []).append(one)
    checks = []
    for kind, results in found.items():
        if kind != "not promised":
            checks.append(
                common.Check(
                    f"{kind}: lowest coverage", min(one for one, _ in results), 0.94 - noise, "at least", exact=True
                )
            )
        checks.append(common.Check(f"{kind}: odd intervals", sum(odd for _, odd in results), 0, exact=True))
    return checks


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--only", choices=("shares", "others"), help="one part")
    options.add_argument("--lines", default="", help="of others the lines whose title holds this text")
    options.add_argument("--draws", type=int, default=2000, help="of others, a line")
    given = options.parse_args()
    parts = {"shares": shares, "others": functools.partial(others, lines=given.lines, draws=given.draws)}
    checks = [check for name, part in parts.items() if given.only in (None, name) for check in part(given.quick)]
    return common.finish("size_and_coverage", checks, quick=given.quick)


if __name__ == "__main__":
    sys.exit(main())
