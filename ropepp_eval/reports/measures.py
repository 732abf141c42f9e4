"""What stands behind a number of a table: cells with weights. Values, intervals and paired differences of such sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import Scores, aggregate
from ropepp_eval.reports.cells import Cell, MetricRule, scores_of
from ropepp_eval.reports.columns import Integers
from ropepp_eval.reports.differences import Difference, PairedScores, difference_of
from ropepp_eval.reports.statistics import (
    Interval,
    combined,
    contributions,
    interval_from_error,
    linear_interval,
    score_interval,
    share_interval,
)


@dataclass(frozen=True, eq=False)
class Part:
    """One cell's metric and its weight in the sum; the weight holds the metric's display scale."""

    weight: float
    cell: Cell
    metric: str

    @property
    def rule(self) -> MetricRule:
        return self.cell.metrics[self.metric]

    @property
    def place(self) -> tuple[str, int, str, str]:
        """What must be equal for two parts to be compared."""
        name = self.cell.name
        return name.task, name.length_tokens, name.protocol, self.metric


Measure = tuple[Part, ...]
"""A weighted sum of cells' metrics; a single cell is a sum of one."""


def scaled(measure: Measure, factor: float) -> Measure:
    return tuple(Part(factor * part.weight, part.cell, part.metric) for part in measure)


def measure_interval(measure: Measure) -> Interval | None:
    """95 % interval of the sum: the cell's own where it is one cell, over clusters for averages; None for none."""
    if len(measure) == 1 and measure[0].metric in measure[0].cell.reported:
        return _reported_interval(measure[0])
    loaded = [(part, *scores_of(part.cell, part.metric)[:2]) for part in measure]
    if not loaded or any(not len(scores) for _, _, scores in loaded):
        return None
    if len(loaded) == 1:
        part, rows, scores = loaded[0]
        interval = score_interval(part.rule.aggregation, scores, rows.clusters)
        return None if interval is None else (part.weight * interval[0], part.weight * interval[1])
    value, moves = 0.0, []
    for part, rows, scores in loaded:
        one = aggregate(part.rule.aggregation, scores)
        if one is None:
            return None
        value += part.weight * one
        moves.append((part.weight, contributions(part.rule.aggregation, scores, rows.clusters)))
    if not all(part.rule.aggregation == "mean" and scores.shares for part, _, scores in loaded):
        return linear_interval(value, combined(moves))
    whole = sum(part.weight for part in measure)  # 100 where shares are shown in percent
    share = share_interval(value / whole, combined([(1 / whole, combined(moves))]))
    return None if share is None else (whole * share[0], whole * share[1])


def _reported_interval(part: Part) -> Interval | None:
    """From value, standard error and number of rows alone: Wilson's for shares, else Student's t; of averages there is none."""
    known = part.cell.reported[part.metric]
    if known.value is None or known.rows < 2:
        return None
    interval = interval_from_error(
        known.value, known.stderr, known.rows, share=part.rule.scale == 100 and 0 <= known.value <= 1
    )
    return None if interval is None else (part.weight * interval[0], part.weight * interval[1])


@dataclass(frozen=True)
class Pairing:
    """Rows that two cells share, with both scores."""

    clusters: Integers
    """The source document of each."""
    first: Scores
    second: Scores
    unpaired: int
    """Rows that only one of the two answered, or that failed in one."""


def pair_cells(first: Cell, second: Cell, metric: str) -> Pairing:
    """The rows that both cells have a score for, in row order.

    Raises:
        UserError: there is none, with the reason: other seeds, other tokenizers, other rows, or only failures.
    """
    (rows, scores, _), (other_rows, other_scores, _) = scores_of(first, metric), scores_of(second, metric)
    others = {name: place for place, name in enumerate(other_rows.hashes.tolist())}
    common = [(place, others[name]) for place, name in enumerate(rows.hashes.tolist()) if name in others]
    if not common:
        raise UserError(
            f"{first.name.task} at {first.name.length}: {first.name.checkpoint} and "
            f"{second.name.checkpoint} have no row in common ({why_none_common(first, second)}); run both with the same "
            "task, length, seed, protocol, tokenizer and data"
        )
    unpaired = int(np.unique(np.concatenate([first.rows.hashes, second.rows.hashes])).size) - len(common)
    here, there = np.array(common).T
    return Pairing(rows.clusters[here], scores[here], other_scores[there], unpaired)


def why_none_common(first: Cell, second: Cell) -> str:
    """The difference that keeps two cells from having a row in common, in words."""
    for cell in (first, second):
        if cell.reported and not cell.rows:
            return f"{cell.folder} came without its rows, which lm-eval keeps with --log_samples"
    for key, word in (("seed", "seeds"), ("tokenizer_sha256", "tokenizers")):
        one, other = ({str(value)[:8] for value in cell.rows.values(key)} for cell in (first, second))
        if one and other and not one & other:
            return f"{word} {'+'.join(sorted(one))} and {'+'.join(sorted(other))}"
    if np.intersect1d(first.rows.hashes, second.rows.hashes).size:
        return "every common row failed in one of them"
    return "different rows" if first.rows and second.rows else "one of them has no rows"


def comparable(first: Measure, second: Measure) -> bool:
    """True where both sums are made of the same tasks, lengths, protocols and metrics."""
    return sorted(part.place for part in first) == sorted(part.place for part in second)


def measure_difference(first: Measure, second: Measure) -> Difference:
    """First minus second over the rows that both have, cell by cell.

    Raises:
        UserError: the sums are made of different cells, or a pair of cells has no row in common.
    """
    if not comparable(first, second):
        raise UserError("these two averages are over different tasks or lengths; compare them cell by cell")
    others = {part.place: part for part in second}
    cells = []
    for part in first:
        pairing = pair_cells(part.cell, others[part.place].cell, part.metric)
        cells.append(PairedScores(part.rule.aggregation, pairing.first, pairing.second, pairing.clusters, part.weight))
    return difference_of(cells)
