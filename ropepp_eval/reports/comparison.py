"""Two checkpoints against each other on the same rows: how much better, how sure, and could it be luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.differences import Difference
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.measures import Measure, Part, measure_difference, pair_cells
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of, counted
from ropepp_eval.reports.statistics import holm
from ropepp_eval.reports.table import P_DECIMALS, Entry, Line, Section, Table
from ropepp_eval.resolution import LEVEL

Pairs = Sequence[tuple[Part, Part]]
"""A cell of the first checkpoint with the same one of the second, several times."""


@dataclass(frozen=True)
class Comparison:
    """One place (a cell, or an average of cells) where both checkpoints have rows in common."""

    group: Group
    what: str
    """Task, or which average."""
    length: str
    first: float | None
    """In the unit of the table, over the common rows; None where it is too large for a float (a perplexity)."""
    second: float | None
    difference: Difference
    unpaired: int
    """Rows that only one of the two answered; left out."""
    pairs: Pairs
    """The cells behind it."""
    adjusted: float | None = None
    """p-value after Holm's adjustment within its block; None where there was no test."""

    @property
    def better(self) -> int:
        """1 where the first checkpoint is better beyond luck, -1 where the second is, 0 for a tie or no test."""
        value = self.difference.value
        if self.adjusted is None or self.adjusted > LEVEL or not value:
            return 0
        return 1 if (value > 0) == (self.group.topic.better == "higher") else -1

    def finding(self, names: tuple[str, str]) -> str:
        """The finding in words."""
        if self.difference.value is None:
            return "not tested (too large)"
        if self.adjusted is None:
            return "not tested (one row)" if self.difference.rows < 2 else "not tested (rows of one document)"
        return {0: "tied", 1: f"{names[0]} better", -1: f"{names[1]} better"}[self.better]


@dataclass(frozen=True)
class Comparisons:
    """Everything that two checkpoints can be compared on."""

    names: tuple[str, str]
    averages: tuple[Comparison, ...]
    cells: tuple[Comparison, ...]
    alone: tuple[str, ...]
    """Cells that only one of the two has."""
    damage: tuple[str, ...]


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


def chosen_checkpoints(cells: Cells, first: str, second: str) -> tuple[Checkpoint, Checkpoint]:
    """The two checkpoints that are compared.

    Raises:
        UserError: one is unknown, or both are one.
    """
    one, other = chosen_checkpoint(cells, first), chosen_checkpoint(cells, second)
    if one == other:
        raise UserError(f"checkpoint {first!r} can't be compared with itself; name two checkpoints")
    return one, other


def compare(cells: Cells, first: str, second: str, options: LayoutOptions) -> Comparisons:
    """Averages and cells in which both checkpoints have rows in common, each tested, Holm within averages and within cells.

    Raises:
        UserError: a checkpoint is unknown, both are one, or they share nothing that can be compared (with the reason).
    """
    one, other = chosen_checkpoints(cells, first, second)
    averages: list[Comparison] = []
    singles: list[Comparison] = []
    skipped: list[str] = []
    for group in groups_of(cells, options):
        pairs, only_one = pairs_of(group, one, other)
        skipped += only_one
        for pair in pairs:
            singles.append(compared(group, pair[0].cell.name.task, pair[0].cell.name.length, [pair]))
        averages += _averages(group, pairs)
    if not singles:
        raise UserError(_nothing_shared(cells, one, other, first, second))
    damage = tuple(str(one) for one in cells.damage)
    return Comparisons((first, second), _adjusted(averages), _adjusted(singles), tuple(skipped), damage)


def _adjusted(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    adjusted = holm([one.difference.p_value for one in found])
    return tuple(replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True))


def compare_table(found: Comparisons) -> Table:
    """The averages and the cells of a comparison, one line each."""
    names, blocks = found.names, [("averages of cells that both have", found.averages), ("cells", found.cells)]
    sections = [_section(title, block, names) for title, block in blocks if block]
    from ropepp_eval.reports.verdict import verdict

    return Table(tuple(sections), comparison_notes(found), verdict(found))


def comparison_notes(found: Comparisons) -> tuple[str, ...]:
    """What the words of a comparison mean, what its means are of, what it leaves out."""
    names = found.names
    notes = [
        f"difference: {names[0]} minus {names[1]}, over the rows that both answered; low, high: its 95 % interval; "
        "p (Holm): p adjusted for the number of lines in its block",
        "tied: the difference could be luck at the 5 % level; unpaired: rows that only one of the two answered, left out",
        *_tasks_of_means(found.averages),
    ]
    if found.alone:
        notes.append(f"only one of the two has: {', '.join(found.alone)}")
    return (*notes, *(f"damaged, left out: {damage}" for damage in found.damage))


def _tasks_of_means(averages: Sequence[Comparison]) -> list[str]:
    """Which tasks each mean is of; with its lengths where means of one name are of different tasks."""
    lengths: dict[tuple[str, str], list[str]] = {}
    for one in averages:
        tasks = ", ".join(dict.fromkeys(first.cell.name.task for first, _ in one.pairs))
        lengths.setdefault((one.what, tasks), []).append(one.length)
    named = Counter(what for what, _ in lengths)
    return [f"{what}{' at ' + ', '.join(at) if named[what] > 1 else ''}: {tasks}" for (what, tasks), at in lengths.items()]


def pairs_of(group: Group, one: Checkpoint, other: Checkpoint) -> tuple[list[tuple[Part, Part]], list[str]]:
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
    by_length: dict[int, list[tuple[Part, Part]]] = {}
    for pair in pairs:
        by_length.setdefault(pair[0].cell.name.length_tokens, []).append(pair)
    for length, members in sorted(by_length.items()):
        if len(members) > 1:
            what = f"{group.topic.benchmark}, mean of {len(members)} tasks"
            made.append(compared(group, what, group.length(length), members))
    if len(by_length) > 1:
        made.append(compared(group, f"{group.topic.benchmark}, mean of {len(pairs)} cells", "all", pairs))
    return made


def compared(group: Group, what: str, length: str, pairs: Pairs) -> Comparison:
    """The mean over the pairs of cells, of each checkpoint and of their difference."""
    share = 1 / len(pairs)
    first: Measure = tuple(Part(share * a.weight, a.cell, a.metric) for a, _ in pairs)
    second: Measure = tuple(Part(share * b.weight, b.cell, b.metric) for _, b in pairs)
    difference = measure_difference(first, second)
    pairings = [pair_cells(a.cell, b.cell, a.metric) for a, b in pairs]
    values = [
        weighted_sum([(part.weight, aggregate(part.rule.aggregation, scores)) for part, scores in side])
        for side in (
            [(part, pairing.first) for part, pairing in zip(first, pairings, strict=True)],
            [(part, pairing.second) for part, pairing in zip(second, pairings, strict=True)],
        )
    ]
    unpaired = sum(pairing.unpaired for pairing in pairings)
    return Comparison(group, what, length, values[0], values[1], difference, unpaired, pairs)


def weighted_sum(parts: Sequence[tuple[float, float | None]]) -> float | None:
    """None where a part is missing: a missing value is never 0."""
    values = [weight * value for weight, value in parts if value is not None]
    return sum(values) if len(values) == len(parts) else None


def _section(title: str, found: Sequence[Comparison], names: tuple[str, str]) -> Section:
    documents = any(one.difference.documents < one.difference.rows for one in found)
    columns = (*names, "difference", "low", "high", "p", "p (Holm)", "rows", *(["documents"] if documents else []))
    columns = (*columns, "unpaired", "finding")
    lines = []
    for one in found:
        topic, difference = one.group.topic, one.difference
        decimals = 1 if topic.scale == 100 else 2
        low, high = difference.interval or (None, None)
        entries = (
            Entry(one.first, decimals),
            Entry(one.second, decimals),
            *(Entry(value, decimals, signed=True) for value in (difference.value, low, high)),
            Entry(difference.p_value, P_DECIMALS),
            Entry(one.adjusted, P_DECIMALS),
            Entry(float(difference.rows), 0),
            *([Entry(float(difference.documents), 0)] if documents else []),
            Entry(float(one.unpaired), 0),
            Entry(text=one.finding(names)),
        )
        labels = (one.what, one.length, topic.protocol, difference.method)
        lines.append(Line(labels, entries, f"{topic.benchmark} {topic.protocol}", ranked=False))
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
