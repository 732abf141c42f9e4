"""Effective context length: the longest length up to which a checkpoint's score has not fallen, and which lengths the rows allow.

Two rules. `threshold`: the score is at least a fixed one (85.6: Llama-2-7B's own at 4k, arXiv 2404.06654, section 4).
`margin`: it is at most so many points below the checkpoint's own score at the shortest length. One that scores no more than these
points there has nothing to lose, and holds to no length.

A checkpoint *holds to* a length where the score has not fallen there or at any shorter one. To say that it holds to exactly the k-th
length is to say that it has not fallen at the first k and has at the next. The interval keeps each k that neither is refuted for,
with one-sided tests: that the next length's score has not fallen (half of 5 %), and that one of the first k has (the other half,
divided among them). So the true k is inside in at least 95 % of cases, whatever the other lengths do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cells, scores_of
from ropepp_eval.reports.differences import PairedScores, difference_of
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.measures import Part
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of
from ropepp_eval.reports.statistics import combined, contribution_error, contributions, count_distinct
from ropepp_eval.resolution import LEVEL

EQUAL = 1e-9
RULES = ("threshold", "margin")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a score counts as fallen, in points."""

    threshold: float = 85.6
    margin: float = 10.0

    def check(self) -> None:
        """Raise a UserError for what is no score or no fall."""
        if not 0 <= self.threshold <= 100:
            raise UserError(
                f"--threshold {self.threshold:g} is not between 0 and 100; it is a score in percent, such as 85.6"
            )
        if not 0 <= self.margin <= 100:
            raise UserError(
                f"--margin {self.margin:g} is not between 0 and 100; it is how many points a score may fall, such as 10"
            )


@dataclass(frozen=True)
class EffectiveLength:
    """One checkpoint on one benchmark (or task), by one rule."""

    group: Group
    checkpoint: Checkpoint
    tasks: tuple[str, ...]
    rule: str
    lengths: tuple[int, ...]
    """Tokens, rising."""
    scores: tuple[float, ...]
    """In percent, one a length."""
    holds: int
    """How many of the lengths it holds to, by the scores seen; 0: fallen at the shortest."""
    fewest: int
    """The interval, of such counts."""
    most: int

    def tokens(self, count: int) -> int:
        """The length behind a count; 0 for none."""
        return self.lengths[count - 1] if count else 0

    def words(self) -> str:
        """`8k (4k to 16k)`; `or more` where the longest length asked has not fallen."""
        if self.fewest == self.most:
            return self._name(self.holds)
        return f"{self._name(self.holds)} ({self._name(self.fewest)} to {self._name(self.most)})"

    def _name(self, count: int) -> str:
        if not count:
            return "none"
        return self.group.length(self.tokens(count)) + (" or more" if count == len(self.lengths) else "")


@dataclass(frozen=True)
class Sample:
    """A mean of shares: as sure as `right` of `rows` independent rows of one task."""

    share: float
    rows: float

    @property
    def right(self) -> float:
        return self.share * self.rows


@dataclass(frozen=True)
class Fall:
    """What the rows say of one length: p-values of its score not being above the limit (small: it is), and not below."""

    above: float
    below: float
    fallen: bool
    """By the score seen."""


def effective_lengths(cells: Cells, options: LayoutOptions, limits: Limits) -> list[EffectiveLength]:
    """Every checkpoint on every benchmark that was asked at two or more lengths, by both rules.

    A benchmark's score is the mean over the tasks that every checkpoint has at each of its lengths.

    Raises:
        UserError: a limit is out of range, or nothing was asked at two lengths in percent.
    """
    limits.check()
    found = [one for group in _groups(cells, options) for one in _of_group(group, limits)]
    if not found:
        raise UserError(
            "no benchmark of these runs was asked at two or more lengths with a score in percent, so nothing has an effective "
            "length; run more --lengths"
        )
    return found


def _groups(cells: Cells, options: LayoutOptions) -> list[Group]:
    """Those with a score in percent; variants of one task each for itself."""
    found = []
    for group in groups_of(cells, options):
        topic = group.topic
        if topic.aggregation != "mean" or topic.scale != 100 or topic.better != "higher" or topic.benchmark == LM_EVAL:
            continue
        if group.alike:
            found.append(group)
            continue
        for task in group.tasks:
            members = tuple((cell, metric) for cell, metric in group.members if cell.name.task == task)
            found.append(Group(topic, members, group.labels))
    return found


def _of_group(group: Group, limits: Limits) -> list[EffectiveLength]:
    parts: dict[Checkpoint, dict[int, dict[str, Part]]] = {}
    for cell, metric in group.members:
        if len(scores_of(cell, metric).scores):
            lengths = parts.setdefault(checkpoint_of(cell), {})
            lengths.setdefault(cell.name.length_tokens, {})[cell.name.task] = Part(1.0, cell, metric)
    everywhere = [set(tasks) for lengths in parts.values() for tasks in lengths.values()]
    tasks = tuple(task for task in group.tasks if all(task in some for some in everywhere))
    found = []
    for one in group.checkpoints:
        lengths = parts.get(one, {})
        if tasks and len(lengths) > 1:
            ladder = {length: [lengths[length][task] for task in tasks] for length in sorted(lengths)}
            found += [_of_checkpoint(group, one, tasks, ladder, rule, limits) for rule in RULES]
    return found


def _of_checkpoint(
    group: Group, one: Checkpoint, tasks: tuple[str, ...], ladder: dict[int, list[Part]], rule: str, limits: Limits
) -> EffectiveLength:
    cells = list(ladder.values())
    samples = [sample_of(parts) for parts in cells]
    if rule == "threshold":
        falls = [below_threshold(sample, limits.threshold / 100) for sample in samples]
    else:
        first = Fall(0.0, 1.0, fallen=False)  # no score has fallen below itself
        falls = [first, *(_below_first(cells[0], cells[i], limits.margin / 100) for i in range(1, len(cells)))]
    holds, fewest, most = held(falls)
    if rule == "margin" and 100 * samples[0].share <= limits.margin + EQUAL:
        holds = fewest = most = 0  # there is less to lose than counts as lost
    scores = tuple(100 * sample.share for sample in samples)
    return EffectiveLength(group, one, tasks, rule, tuple(ladder), scores, holds, fewest, most)


def held(falls: Sequence[Fall]) -> tuple[int, int, int]:
    """How many lengths hold by the scores seen, and the least and the most that the tests don't refute."""
    holds = next((i for i, fall in enumerate(falls) if fall.fallen), len(falls))
    possible = [count for count in range(len(falls) + 1) if count == holds or not _refuted(falls, count)]
    return holds, min(possible), max(possible)


def _refuted(falls: Sequence[Fall], count: int) -> bool:
    """Whether a test shows that it does not hold to exactly the first `count` lengths."""
    own = [fall.below for fall in falls[:count] if fall.below < 1.0]
    level = LEVEL / 2 if 0 < count < len(falls) else LEVEL
    if count < len(falls) and falls[count].above <= level:
        return True
    return bool(own) and min(own) <= level / len(own)


def sample_of(parts: Sequence[Part]) -> Sample:
    """The mean over tasks at one length, and how many independent rows it is worth.

    Right-or-wrong rows count each (of unequally many a task, as many as the mean is sure); graded or clustered ones as many as their
    standard error tells of, never more; fewer than documents allow where a few documents tell it (Korn and Graubard 1998).
    """
    loaded = [scores_of(part.cell, part.metric)[:2] for part in parts]
    share = math.fsum(float(aggregate("mean", scores) or 0.0) for _, scores in loaded) / len(loaded)
    count = sum(len(scores) for _, scores in loaded)
    rows = len(loaded) ** 2 / sum(1 / len(scores) for _, scores in loaded)
    clusters = [lines.clusters for lines, _ in loaded]
    documents = count_distinct(np.concatenate(clusters))
    binary = all(scores.right_or_wrong for _, scores in loaded)
    if binary and documents == count:
        return Sample(share, rows)
    moves = [
        (1 / len(loaded), contributions("mean", scores, some)) for (_, scores), some in zip(loaded, clusters, strict=True)
    ]
    error = contribution_error(combined(moves))
    if error is None:
        return Sample(share, 1.0)
    worth = share * (1 - share) / error**2 if error else float(documents)
    return Sample(share, min(rows, worth * _few_documents(count, documents)))


def _few_documents(rows: int, documents: int) -> float:
    """Korn and Graubard's factor: (t of the rows over t of the documents) squared."""
    from scipy.stats import t

    if documents == rows:
        return 1.0
    return float((t.ppf(1 - LEVEL / 2, rows - 1) / t.ppf(1 - LEVEL / 2, documents - 1)) ** 2)


def below_threshold(sample: Sample, threshold: float) -> Fall:
    """The exact binomial test of a share against a threshold.

    Of a mean over tasks the binomial's tails are at least the true ones (Hoeffding 1956), so the test keeps its level.
    """
    from scipy.special import betainc

    right, wrong = sample.right, sample.rows - sample.right
    above = float(betainc(right, wrong + 1, threshold)) if right > EQUAL else 1.0
    below = 1 - float(betainc(right + 1, wrong, threshold)) if wrong > EQUAL else 1.0
    return Fall(above, below, sample.share < threshold - EQUAL)


def _below_first(first: Sequence[Part], later: Sequence[Part], margin: float) -> Fall:
    """A length against the shortest one: paired where its rows ask the same questions of the same documents, else as two samples."""
    pairs = [_paired(one, other, 1 / len(first)) for one, other in zip(later, first, strict=True)]
    if all(pair is not None for pair in pairs):
        found = difference_of([pair for pair in pairs if pair is not None])
        above, below = found.greater(-margin), found.less(-margin)
        fallen = (found.value or 0.0) < -margin - EQUAL
        return Fall(1.0 if above is None else above, 1.0 if below is None else below, fallen)
    return below_other(sample_of(later), sample_of(first), margin)


def _paired(one: Part, other: Part, weight: float) -> PairedScores | None:
    """Scores of the rows of both cells by row number; None where a number is another question, or rows name no document."""
    (rows, scores, _), (other_rows, other_scores, _) = (scores_of(part.cell, part.metric) for part in (one, other))
    if not (rows.share_documents and other_rows.share_documents):
        return None
    _, here, there = np.intersect1d(rows.numbers, other_rows.numbers, assume_unique=True, return_indices=True)
    asked, also = rows.questions, other_rows.questions
    if len(here) < 2 or any(asked[a] is None or asked[a] != also[b] for a, b in zip(here, there, strict=True)):
        return None
    return PairedScores(one.rule.aggregation, scores[here], other_scores[there], rows.clusters[here], weight)


def below_other(sample: Sample, first: Sample, margin: float) -> Fall:
    """Two independent shares: the score test of their difference (Miettinen and Nurminen 1985, eq. 8).

    statsmodels 0.15 has it too, but its closed form of the likeliest shares gives some below 0 where the samples differ in size.
    """
    from scipy.stats import norm

    likeliest = _likeliest_share(sample, first, -margin)
    shares = ((likeliest - margin, sample.rows), (likeliest, first.rows))
    total = sample.rows + first.rows
    variance = sum(share * (1 - share) / rows for share, rows in shares) * total / (total - 1)
    away = sample.share - first.share + margin
    z = away / math.sqrt(variance) if variance > EQUAL else 0.0 if abs(away) < EQUAL else math.copysign(math.inf, away)
    return Fall(float(norm.sf(z)), float(norm.cdf(z)), away < -EQUAL)


def _likeliest_share(sample: Sample, first: Sample, difference: float) -> float:
    """The share of `first` that is likeliest where `sample`'s is greater by `difference` (-1 to 0): the likelihood has one peak."""
    low, high = -difference, 1.0

    def rises(share: float) -> bool:
        slope = 0.0
        for one, at in ((sample, share + difference), (first, share)):
            wrong = one.rows - one.right
            slope += (one.right / at if one.right > EQUAL else 0.0) - (wrong / (1 - at) if wrong > EQUAL else 0.0)
        return slope > 0

    for _ in range(50):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if rises(middle) else (low, middle)
    return (low + high) / 2
