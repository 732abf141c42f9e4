"""Two checkpoints against each other on the same rows: how much better, how sure, and could it be luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.measures import Measure, Part, measure_difference, pair_cells
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of, counted
from ropepp_eval.reports.statistics import Difference, holm
from ropepp_eval.reports.table import Entry, Line, Section, Table
from ropepp_eval.resolution import LEVEL


@dataclass(frozen=True)
class Comparison:
    """One place (a cell, or an average of cells) where both checkpoints have rows in common."""

    group: Group
    what: str
    """Task, or which average."""
    length: str
    first: float
    """In the unit of the table, over the common rows."""
    second: float
    difference: Difference
    unpaired: int
    """Rows that only one of the two answered; left out."""

    def verdict(self, adjusted: float | None, names: tuple[str, str]) -> str:
        """The finding in words."""
        if adjusted is None:
            return "not tested (one row)" if self.difference.rows < 2 else "not tested (rows of one document)"
        if adjusted > LEVEL or self.difference.value == 0:
            return "tied"
        first_better = (self.difference.value > 0) == (self.group.topic.better == "higher")
        return f"{names[0] if first_better else names[1]} better"


def chosen_checkpoint(cells: Cells, name: str) -> Checkpoint:
    """The checkpoint that a user means by `name`: a label of the tables.

    Raises:
        UserError: there is none of this name, or several.
    """
    labels = checkpoint_labels(cells.cells)
    found = [one for one, label in labels.items() if label == name]
    if found:
        return found[0]
    if any(one[0] == name for one in labels):
        several = [label for one, label in labels.items() if one[0] == name]
        raise UserError(f"checkpoint {name!r} is several; write one of: {'; '.join(several)}")
    raise unknown_name("checkpoint", name, labels.values(), "these are the checkpoints of the results folders")


def compare_table(cells: Cells, first: str, second: str, options: LayoutOptions) -> Table:
    """Averages and cells in which both checkpoints have rows in common, each tested, Holm within averages and within cells.

    Raises:
        UserError: a checkpoint is unknown, both are one, or they share nothing that can be compared (with the reason).
    """
    one, other = chosen_checkpoint(cells, first), chosen_checkpoint(cells, second)
    if one == other:
        raise UserError(f"checkpoint {first!r} can't be compared with itself; name two checkpoints")
    averages: list[Comparison] = []
    singles: list[Comparison] = []
    skipped: list[str] = []
    for group in groups_of(cells, options):
        pairs, only_one = _pairs(group, one, other)
        skipped += only_one
        for a, b in pairs:
            singles.append(_compared(group, a.cell.name.task, a.cell.name.length, [(a, b)]))
        averages += _averages(group, pairs)
    if not singles:
        raise UserError(_nothing_shared(cells, one, other, first, second))
    sections = [
        _section(title, found, (first, second))
        for title, found in (("averages of cells that both have", averages), ("cells", singles))
        if found
    ]
    notes = [
        f"difference: {first} minus {second}, over the rows that both answered; interval 95 %; "
        "p adjusted by Holm within each block",
        "tied: the difference could be luck at the 5 % level",
    ]
    if skipped:
        notes.append(f"only one of the two has: {', '.join(skipped)}")
    return Table(tuple(sections), (*notes, *(f"damaged, left out: {damage}" for damage in cells.damage)))


Pairs = list[tuple[Part, Part]]


def _pairs(group: Group, one: Checkpoint, other: Checkpoint) -> tuple[Pairs, list[str]]:
    """Cells that both have with scores, in order of task and length, and names of those that only one has."""
    sides: dict[tuple[int, int], dict[Checkpoint, Part]] = {}
    for cell, metric in group.members:
        place = (group.tasks.index(cell.name.task), cell.name.length_tokens)
        if checkpoint_of(cell) in (one, other) and cell.rows:
            sides.setdefault(place, {})[checkpoint_of(cell)] = Part(group.topic.scale, cell, metric)
    pairs, alone = [], []
    for _, parts in sorted(sides.items()):
        if len(parts) == 2:
            pairs.append((parts[one], parts[other]))
        else:
            name = next(iter(parts.values())).cell.name
            alone.append(f"{name.task} at {name.length} ({name.protocol})")
    return pairs, alone


def _averages(group: Group, pairs: Pairs) -> list[Comparison]:
    """Over the tasks of each length, and over everything; only where tasks may be averaged and there are several cells."""
    if not group.averages_tasks:
        return []
    made = []
    by_length: dict[int, Pairs] = {}
    for pair in pairs:
        by_length.setdefault(pair[0].cell.name.length_tokens, []).append(pair)
    for length, members in sorted(by_length.items()):
        if len(members) > 1:
            what = f"{group.topic.benchmark}, mean of {len(members)} tasks"
            made.append(_compared(group, what, group.length(length), members))
    if len(by_length) > 1:
        made.append(_compared(group, f"{group.topic.benchmark}, mean of {len(pairs)} cells", "all", pairs))
    return made


def _compared(group: Group, what: str, length: str, pairs: Sequence[tuple[Part, Part]]) -> Comparison:
    share = 1 / len(pairs)
    first: Measure = tuple(Part(share * a.weight, a.cell, a.metric) for a, _ in pairs)
    second: Measure = tuple(Part(share * b.weight, b.cell, b.metric) for _, b in pairs)
    difference = measure_difference(first, second)
    values, unpaired = [0.0, 0.0], 0
    for a, b in pairs:
        pairing = pair_cells(a.cell, b.cell, a.metric)
        unpaired += pairing.unpaired
        for side, scores in enumerate((pairing.first, pairing.second)):
            values[side] += share * a.weight * (aggregate(a.rule.aggregation, scores) or 0.0)
    return Comparison(group, what, length, values[0], values[1], difference, unpaired)


def _section(title: str, found: Sequence[Comparison], names: tuple[str, str]) -> Section:
    adjusted = holm([one.difference.p_value for one in found])
    lines = []
    for one, p in zip(found, adjusted, strict=True):
        decimals = 1 if one.group.topic.scale == 100 else 2
        low, high = one.difference.interval or (None, None)
        entries = (
            Entry(one.first, decimals),
            Entry(one.second, decimals),
            Entry(one.difference.value, decimals, signed=True),
            Entry(low, decimals, signed=True),
            Entry(high, decimals, signed=True),
            Entry(one.difference.p_value, 4),
            Entry(p, 4),
            Entry(float(one.difference.rows), 0),
            Entry(float(one.unpaired), 0),
            Entry(text=one.verdict(p, names)),
        )
        topic = one.group.topic
        labels = (one.what, one.length, topic.protocol, one.difference.method)
        lines.append(Line(labels, entries, f"{topic.benchmark} {topic.protocol}", ranked=False))
    columns = (*names, "difference", "low", "high", "p", "p (Holm)", "rows", "unpaired", "finding")
    label_columns = ("what", "length", "protocol", "test")
    heading = f"{names[0]} against {names[1]}: {counted(len(found), title[:-1]) if title == 'cells' else title}"
    return Section(heading, {}, label_columns, columns, tuple(lines), (None,) * len(columns))


def _nothing_shared(cells: Cells, one: Checkpoint, other: Checkpoint, first: str, second: str) -> str:
    """Why no cell is common: protocols, lengths or tasks."""
    names = [[cell.name for cell in cells.cells if checkpoint_of(cell) == side and cell.rows] for side in (one, other)]
    for name, side in ((first, names[0]), (second, names[1])):
        if not side:
            return f"{name} has no rows to compare; run it again, and lm-eval with --log_samples, which keeps them"
    for field, word in (("protocol", "protocols"), ("task", "tasks"), ("length_tokens", "lengths")):
        here, there = ({str(getattr(name, field)) for name in side} for side in names)
        if not here & there:
            told = f"{word} {'+'.join(sorted(here)) or 'none'} and {'+'.join(sorted(there)) or 'none'}"
            return f"{first} and {second} share no cell ({told}); run both with the same tasks, lengths, protocol and seed"
    return f"{first} and {second} share no cell with the same task, length and protocol; run both with the same ones"
