"""A gate for a build: is one checkpoint worse than another by more than a margin, is it shown not to be, or can the rows not tell?

Non-inferiority, one-sided: the same evidence as `compare`, asked about the margin in place of 0.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.comparison import Comparison, Pairs, chosen_checkpoints, compared, pairs_of
from ropepp_eval.reports.layouts import VARIANTS, Group, LayoutOptions, groups_of
from ropepp_eval.reports.naming import counted, natural
from ropepp_eval.reports.statistics import holm
from ropepp_eval.resolution import POWER

EXIT = {"not worse": 0, "worse": 1, "undecided": 4}
"""Verdicts with their exit status; 2 stays the user's error."""
MOST_TIMES = 1000
"""No one makes a thousand times as many rows; beyond that no number is said."""


@dataclass(frozen=True)
class GatePlace:
    """What one mean (or one cell that is not averaged) says of the margin."""

    on: str
    verdict: str
    difference: float
    """First minus second, in points (percent) or in the metric's unit."""
    p_worse: float
    """p-value of the first being worse by no more than the margin, Holm-adjusted over the places; small where it is worse by more."""
    p_not_worse: float
    """p-value of the first being worse by the margin or more; small where it is not."""
    rows: int
    rows_needed: int | None
    """Rows that would decide at the difference seen; None where decided, or where no number would."""


@dataclass(frozen=True)
class Gate:
    """The verdict over all places: worse where any is, not worse where all are shown not to be."""

    verdict: str
    first: str
    second: str
    fail_below: float
    confidence: float
    places: tuple[GatePlace, ...]

    @property
    def status(self) -> int:
        """Exit status for a build."""
        return EXIT[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """What a build needs, and nothing else."""
        places = [{name: value for name, value in asdict(place).items() if value is not None} for place in self.places]
        return {**asdict(self), "status": self.status, "places": places}

    def lines(self) -> list[str]:
        """A headline, then a sentence for each place, those that decide first."""
        head = {"worse": "FAILED", "not worse": "passed", "undecided": "UNDECIDED"}[self.verdict]
        order = sorted(self.places, key=lambda place: place.verdict != self.verdict)
        return [f"gate {head} ({self.confidence:g} % confidence)", *map(self._sentence, order)]

    def _sentence(self, place: GatePlace) -> str:
        margin = f"more than {-self.fail_below:g} points" if self.fail_below else "anything"
        seen = f"{place.difference:+.1f} points over {counted(place.rows, 'row')}"
        if place.verdict == "worse":
            return f"{place.on}: {self.first} is worse than {self.second} by {margin} ({seen}; p {place.p_worse:.2g})"
        if place.verdict == "not worse":
            return (
                f"{place.on}: {self.first} is not worse than {self.second} by {margin} ({seen}; p {place.p_not_worse:.2g})"
            )
        told = f"{place.on}: these rows can't tell whether {self.first} is worse than {self.second} by {margin} ({seen}; "
        if place.rows_needed is None:
            return told + "the difference seen is so near that margin that no number of rows would)"
        return told + f"about {place.rows_needed:,} would, should the difference stay, in four of five cases)"


def gate(
    cells: Cells, first: str, second: str, options: LayoutOptions, *, fail_below: float, on: str | None, confidence: float
) -> Gate:
    """Judge `first` against `second` on the rows that both answered.

    Args:
        fail_below: margin in points, 0 or below (in the metric's unit for perplexities, where higher is worse).
        on: benchmark, task or task@length that is judged; None judges every benchmark.
        confidence: asked of either verdict, in percent.

    Raises:
        UserError: the margin has the wrong sign, the confidence is none, `on` was not run, or nothing can be paired.
    """
    _check(fail_below, confidence)
    places = _places(cells, first, second, options, on)
    level = 1 - confidence / 100
    tested = [(place, _tails(place, fail_below)) for place in places if place.difference.p_value is not None]
    if not tested:
        raise UserError(
            f"{first} and {second} can't be tested{f' on {on}' if on else ''}: too few rows in common, or a value too large; run more with --samples"
        )
    worse = holm([tails[0] for _, tails in tested])
    judged = [
        _judged(place, fail_below, float(p or 0.0), tails[1], level) for (place, tails), p in zip(tested, worse, strict=True)
    ]
    found = {place.verdict for place in judged}
    verdict = (
        "worse" if "worse" in found else "undecided" if "undecided" in found or len(judged) < len(places) else "not worse"
    )
    return Gate(verdict, first, second, fail_below, confidence, tuple(judged))


def _check(fail_below: float, confidence: float) -> None:
    if not -100 <= fail_below <= 0:
        raise UserError(
            f"--fail-below {fail_below:g} is not between -100 and 0; it is how much worse A may be than B, such as --fail-below -2"
        )
    if not 50 < confidence < 100:
        raise UserError(f"--confidence {confidence:g} is not between 50 and 100 percent; the usual one is 95")


def _sign(place: Comparison) -> int:
    return 1 if place.group.topic.better == "higher" else -1


def _tails(place: Comparison, fail_below: float) -> tuple[float, float]:
    """p-values of not being worse, and of being worse, than the margin allows."""
    margin = _sign(place) * fail_below
    less, greater = place.difference.less(margin), place.difference.greater(margin)
    assert less is not None
    assert greater is not None
    return (less, greater) if _sign(place) > 0 else (greater, less)


def _judged(place: Comparison, fail_below: float, p_worse: float, p_not_worse: float, level: float) -> GatePlace:
    value = place.difference.value
    assert value is not None
    verdict = "worse" if p_worse <= level else "not worse" if p_not_worse <= level else "undecided"
    needed = _rows_needed(place, fail_below, level) if verdict == "undecided" else None
    on = f"{place.what} at {place.length}" if place.length != "all" else place.what
    return GatePlace(on, verdict, value, p_worse, p_not_worse, place.difference.rows, needed)


def _rows_needed(place: Comparison, fail_below: float, level: float) -> int | None:
    """By the normal curve, from the difference and the standard error seen."""
    from scipy.stats import norm

    value, error = place.difference.value, place.difference.error
    distance = abs((value or 0.0) - _sign(place) * fail_below)
    times = math.inf
    if error and distance:
        times = ((float(norm.isf(level)) + float(norm.ppf(POWER))) * error / distance) ** 2
    return max(place.difference.rows + 1, math.ceil(times * place.difference.rows)) if times <= MOST_TIMES else None


def _places(cells: Cells, first: str, second: str, options: LayoutOptions, on: str | None) -> list[Comparison]:
    """One mean a benchmark, or each cell where the benchmark's cells are not averaged."""
    one, other = chosen_checkpoints(cells, first, second)
    found, known = [], set()
    for group in groups_of(cells, options):
        pairs, _ = pairs_of(group, one, other)
        known |= {name for pair in pairs for name in _names(pair[0].cell)}
        chosen = [pair for pair in pairs if on is None or on in _names(pair[0].cell)]
        found += _means(group, chosen, on)
    if not found:
        if on is None:
            raise UserError(f"{first} and {second} share no cell; run both with the same tasks, lengths, protocol and seed")
        raise unknown_name("benchmark, task or cell", on, sorted(known, key=natural), "--on takes what both checkpoints ran")
    return found


def _names(cell: Any) -> tuple[str, ...]:
    """What --on may call a cell."""
    name = cell.name
    return name.benchmark, f"{name.benchmark}@{name.length}", name.task, f"{name.task}@{name.length}"


def _means(group: Group, pairs: Pairs, on: str | None) -> list[Comparison]:
    if not pairs:
        return []
    topic, tasks = group.topic, {pair[0].cell.name.task for pair in pairs}
    lengths = {pair[0].cell.name.length for pair in pairs}
    length = lengths.pop() if len(lengths) == 1 else "all"
    if topic.aggregation != "mean" or (topic.benchmark in VARIANTS and len(tasks) > 1):
        return [compared(group, pair[0].cell.name.task, pair[0].cell.name.length, [pair]) for pair in pairs]
    if len(pairs) == 1:
        return [compared(group, next(iter(tasks)), length, pairs)]
    name = next(iter(tasks)) if len(tasks) == 1 else f"{topic.benchmark}, {counted(len(tasks), 'task')}"
    return [compared(group, f"{name}, mean of {len(pairs)} cells", length, pairs)]
