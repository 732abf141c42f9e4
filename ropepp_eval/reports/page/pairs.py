"""Every two checkpoints against each other, tested beforehand: a reader chooses any two."""

from __future__ import annotations

import itertools

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.comparison import Comparison, compare, comparison_notes
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.measures import pair_cells
from ropepp_eval.reports.naming import checkpoint_labels
from ropepp_eval.reports.page.parts import Pair, PairLine
from ropepp_eval.reports.table import P_DECIMALS, Entry, number_text
from ropepp_eval.reports.verdict import verdict


def pairs_of_page(cells: Cells, options: LayoutOptions) -> tuple[Pair, ...]:
    """One a pair of checkpoints, the earlier one first."""
    labels = list(checkpoint_labels(cells.cells).values())
    return tuple(_pair(cells, labels, i, j, options) for i, j in itertools.combinations(range(len(labels)), 2))


def _pair(cells: Cells, labels: list[str], first: int, second: int, options: LayoutOptions) -> Pair:
    names = (labels[first], labels[second])
    try:
        found = compare(cells, *names, options)
    except UserError as error:  # no cell or no row in common, said with the reason
        return Pair(first, second, inert(error))
    averages = [_line(one, names, average=True) for one in found.averages]
    singles = [_line(one, names, average=False) for one in found.cells]
    return Pair(
        first,
        second,
        "",
        tuple(map(inert, verdict(found))),
        (*averages, *singles),
        tuple(map(inert, comparison_notes(found))),
    )


def _line(one: Comparison, names: tuple[str, str], *, average: bool) -> PairLine:
    difference = one.difference
    percent = one.group.topic.scale == 100
    decimals = 1 if percent else 2
    low, high = difference.interval or (None, None)
    numbers = (
        *(Entry(value, decimals) for value in (one.first, one.second)),
        *(Entry(value, decimals, signed=True) for value in (difference.value, low, high)),
        *(Entry(p, P_DECIMALS) for p in (difference.p_value, one.adjusted)),
    )
    pairings = [pair_cells(a.cell, b.cell, a.metric) for a, b in one.pairs]
    differing = sum(a != b for pairing in pairings for a, b in zip(pairing.first, pairing.second, strict=True))
    return PairLine(
        average=average, what=inert(one.what), length=one.length, protocol=inert(one.group.topic.protocol), method=difference.method,
        percent=percent, numbers=tuple(map(number_text, numbers)), rows=difference.rows, documents=difference.documents,
        unpaired=one.unpaired, better=one.better, finding=inert(one.finding(names)), differing=differing,
    )  # fmt: skip
