"""Sentences that a reader can quote: who is better where, by how much, what is tied, what the rows could have shown.

`verdict` begins a comparison of two checkpoints, `standings` ends a table of several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cells, scores_of
from ropepp_eval.reports.comparison import Comparison, Comparisons, compared, weighted_sum
from ropepp_eval.reports.evidence import FEWEST_DOCUMENTS
from ropepp_eval.reports.layouts import VARIANTS, Group, LayoutOptions, Topic, groups_of
from ropepp_eval.reports.measures import Part
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of, counted
from ropepp_eval.reports.statistics import holm
from ropepp_eval.resolution import LEVEL, POWER, smallest_difference

MOST_DRIVERS = 4
"""Cells named as those that make a difference; what is spread over more is said to be spread."""


def verdict(found: Comparisons) -> tuple[str, ...]:
    """A few sentences a benchmark, then what ties mean."""
    sentences = []
    for topic in dict.fromkeys(one.group.topic for one in found.cells):
        cells = [one for one in found.cells if one.group.topic == topic]
        averages = [one for one in found.averages if one.group.topic == topic]
        sentences += _of_benchmark(topic, cells, averages, found.names)
    return (*sentences, *_what_ties_mean(found))


def _of_benchmark(
    topic: Topic, cells: Sequence[Comparison], averages: Sequence[Comparison], names: tuple[str, str]
) -> list[str]:
    name = _name(topic)
    whole = next((one for one in averages if one.length == "all"), averages[0] if len(averages) == 1 else None)
    if whole is None:
        if len(cells) == 1:
            return [f"{_place(cells[0])}: {_sentence(cells[0], names)}"]
        tasks = {one.what for one in cells}
        if len(tasks) == 1:
            return [f"{tasks.pop()}: {_spread(cells, names, lambda one: one.length)}"]
        return [f"{name}: {_spread(cells, names, _place)}"]
    said = [f"{name}: {_sentence(whole, names)}, mean of {counted(len(whole.pairs), 'cell')}{_drivers(whole, cells)}"]
    by_length = [one for one in averages if one is not whole]
    if by_length:
        said.append(f"{name} by length: {_spread(by_length, names, lambda one: one.length)}")
    against = [one for one in cells if one.better and one.better != whole.better]
    if whole.better and against:
        said.append(f"{name}, the other way: {_spread(against, names, _place)}")
    return said


def _name(topic: Topic) -> str:
    return topic.benchmark if topic.protocol == "reference" else f"{topic.benchmark} ({topic.protocol})"


def _place(one: Comparison) -> str:
    return one.what if one.length == "any" else f"{one.what} at {one.length}"


def _unit(one: Comparison, value: float) -> str:
    """`3.1 points`, or a number in the metric's own unit."""
    return f"{value:.1f} points" if one.group.topic.scale == 100 else f"{value:.2f}"


def _sentence(one: Comparison, names: tuple[str, str]) -> str:
    """`a is better than b by 16.0 points (95 % interval 9.5 to 22.5)`, or a tie with what the rows could have shown."""
    value, interval = one.difference.value, one.difference.interval
    if value is None or one.adjusted is None:
        return one.finding(names)
    better, worse = names if one.better > 0 else names[::-1]
    if not one.better:
        range_ = f"; 95 % interval {_signed(one, interval[0])} to {_signed(one, interval[1])}" if interval else ""
        luck = "tied" if (one.difference.p_value or 0) > LEVEL else "tied once all comparisons are allowed for"
        return f"{luck} ({names[0]} minus {names[1]} is {_signed(one, value)}{' points' if one.group.topic.scale == 100 else ''}{range_})"
    limits = "" if interval is None else "{} to {}".format(*_magnitudes(one, interval))
    limits = f" (95 % interval {limits})" if limits else ""
    return f"{better} is better than {worse} by {_unit(one, abs(value))}{limits}"


def _signed(one: Comparison, value: float) -> str:
    return f"{value:+.1f}" if one.group.topic.scale == 100 else f"{value:+.2f}"


def _magnitudes(one: Comparison, interval: tuple[float, float]) -> tuple[str, str]:
    """The limits as how much better the better one is."""
    low, high = interval if (one.difference.value or 0) > 0 else (-interval[1], -interval[0])
    decimals = 1 if one.group.topic.scale == 100 else 2
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def _spread(found: Sequence[Comparison], names: tuple[str, str], name: Callable[[Comparison], str]) -> str:
    """`a better at 2k (+46.7), 4k (+20.0); tied at 256, 512`: each place once."""
    parts = []
    for side, words in ((1, f"{names[0]} better"), (-1, f"{names[1]} better")):
        there = [f"{name(one)} ({_signed(one, one.difference.value or 0.0)})" for one in found if one.better == side]
        parts += [f"{words} at {_and(there)}"] if there else []
    ties = [one for one in found if not one.better and one.adjusted is not None]
    untested = [one for one in found if one.adjusted is None]
    parts += [f"tied at {_and([name(one) for one in ties])}"] if ties else []
    parts += [f"not tested at {_and([name(one) for one in untested])}"] if untested else []
    return "; ".join(parts)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _drivers(whole: Comparison, cells: Sequence[Comparison]) -> str:
    """Which cells make most of a mean's difference: the fewest that give half of it; nothing for a tie."""
    value = whole.difference.value
    if not whole.better or not value or len(whole.pairs) < 3:
        return ""
    places = {(pair[0].place, pair[0].cell.name.protocol) for pair in whole.pairs}
    own = [one for one in cells if (one.pairs[0][0].place, one.pairs[0][0].cell.name.protocol) in places]
    shares = sorted(((one.difference.value or 0.0) / value / len(whole.pairs), i) for i, one in enumerate(own))[::-1]
    taken: list[int] = []
    total = 0.0
    for share, i in shares:
        if total >= 0.5 - 1e-9 or len(taken) > MOST_DRIVERS:
            break
        taken.append(i)
        total += share
    if len(taken) > MOST_DRIVERS or 2 * len(taken) >= len(own):
        return "; it is spread over them"
    named = _and([_place(own[i]) for i in sorted(taken)])
    return f"; {min(100, round(100 * total))} % of it from {named}"


def _what_ties_mean(found: Comparisons) -> list[str]:
    """What the rows of a cell could have shown, beside all the cells tested with it."""
    said = []
    tested = [one for one in found.cells if one.adjusted is not None]
    shares = [one for one in tested if one.group.topic.scale == 100]
    if any(not one.better for one in shares):
        fewest, most = min(one.difference.documents for one in shares), max(one.difference.documents for one in shares)
        smallest = smallest_difference(most, level=LEVEL / len(tested))
        rows = counted(most, "row") if fewest == most else f"{fewest} to {most} independent rows"
        beside = f" beside {counted(len(tested) - 1, 'other')}" if len(tested) > 1 else ""
        if smallest is None:
            said.append(f"a tie of cells says nothing here: {rows} a cell can't show any difference{beside}")
        else:
            points = math.ceil(100 * smallest)
            said.append(
                f"a tie of cells means a difference under {points} points, not none: {rows} a cell, tested{beside}, "
                f"show no smaller one ({100 * POWER:.0f} % power)"
            )
    few = {one.what: one for one in tested if one.difference.documents < min(FEWEST_DOCUMENTS, one.difference.rows)}
    said += [
        f"{what} can't tell: its {counted(one.difference.rows, 'row')} come from {counted(one.difference.documents, 'document')}"
        for what, one in few.items()
    ]
    return said


def standings(cells: Cells, options: LayoutOptions) -> tuple[str, ...]:
    """For each benchmark the best checkpoint over the cells that all have, and which others it is better than, tested in pairs.

    Holm over all pairs, since which one is best is seen first. Nothing where there is one checkpoint, or no mean to compare.
    """
    return tuple(said for group in groups_of(cells, options) if (said := _standing(group)))


def _standing(group: Group) -> str:
    common = _common(group)
    if len(common) < 2 or not (count := len(next(iter(common.values())))):
        return ""
    tasks = {part.cell.name.task for parts in common.values() for part in parts}
    alike = group.topic.aggregation == "mean" and (len(tasks) == 1 or group.topic.benchmark not in VARIANTS)
    if count > 1 and not alike:
        return ""
    what = f"{_name(group.topic)}, mean of {counted(count, 'cell')} that all have" if count > 1 else _name(group.topic)
    try:
        return f"{what}: {_ahead(group, common)}"
    except UserError as error:
        return f"{what}: not tested; {error}"


def _common(group: Group) -> dict[Checkpoint, list[Part]]:
    """The scored cells of each checkpoint at the places that all checkpoints have, in one order."""
    sides: dict[Checkpoint, dict[tuple[str, int], Part]] = {}
    for cell, metric in group.members:
        if cell.rows:
            place = (cell.name.task, cell.name.length_tokens)
            sides.setdefault(checkpoint_of(cell), {})[place] = Part(group.topic.scale, cell, metric)
    shared = sorted(set.intersection(*(set(parts) for parts in sides.values()))) if sides else []
    return {one: [parts[place] for place in shared] for one, parts in sides.items()}


def _ahead(group: Group, common: dict[Checkpoint, list[Part]]) -> str:
    """`fope is best (88.0): better than alibi by 11.3 points (95 % interval 3.5 to 19.1) and nope; tied with rope`."""
    names = list(common)
    values = {name: _mean(parts) for name, parts in common.items()}
    ranked = sorted((name for name in names if values[name] is not None), key=lambda name: _rank(group, values[name]))
    if len(ranked) < 2:
        return "not tested (too large)"
    best, others = ranked[0], ranked[1:]
    found = [compared(group, "", "", list(zip(common[best], common[other], strict=True))) for other in others]
    pairs = len(names) * (len(names) - 1) // 2
    adjusted = holm([*(one.difference.p_value for one in found), *[1.0] * (pairs - len(found))])[: len(found)]
    better = [i for i, p in enumerate(adjusted) if p is not None and p <= LEVEL]
    tied = [group.labels[others[i]] for i in range(len(others)) if i not in better]
    value = f"{values[best]:.1f}" if group.topic.scale == 100 else f"{values[best]:.2f}"
    parts = []
    if better:
        nearest = found[better[0]].difference
        limits = (
            ""
            if nearest.interval is None
            else " (95 % interval {} to {})".format(*_magnitudes(found[better[0]], nearest.interval))
        )
        labels = [group.labels[others[i]] for i in better]
        labels[0] += f" by {_unit(found[better[0]], abs(nearest.value or 0.0))}{limits}"
        parts.append(f"better than {_and(labels)}")
    parts += [f"tied with {_and(tied)}"] if tied else []
    return f"{group.labels[best]} is {'best' if better else 'first'} ({value}), {'; '.join(parts)}"


def _mean(parts: Sequence[Part]) -> float | None:
    """As tables show it: None where a value is missing."""
    found = [
        (part.weight / len(parts), aggregate(part.rule.aggregation, scores_of(part.cell, part.metric)[1])) for part in parts
    ]
    return weighted_sum(found)


def _rank(group: Group, value: float | None) -> float:
    return (-1 if group.topic.better == "higher" else 1) * (value or 0.0)
