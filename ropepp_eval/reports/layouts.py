"""From cells to tables whose columns are context lengths, or tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells, MetricRule, length_in_words, scores_of
from ropepp_eval.reports.measures import Part, scaled
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of, natural
from ropepp_eval.reports.notes import table_notes
from ropepp_eval.reports.table import Entry, Line, Section, Table


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """What all layouts share."""

    partial: bool = False
    """Average over the members present, and say how many."""
    metric: str | None = None
    """Show this metric instead of each task's primary one."""


@dataclass(frozen=True, order=True)
class Topic:
    """What the cells of one section have in common, so that their values may stand and be averaged together."""

    protocol: str
    benchmark: str
    better: str
    """`higher` or `lower`."""
    aggregation: str
    scale: float

    @property
    def unit(self) -> str:
        return {1.0: "", 100.0: " in percent"}.get(self.scale, f" times {self.scale:g}")


@dataclass(frozen=True)
class Group:
    """The cells of one section, with the metric shown of each."""

    topic: Topic
    members: tuple[tuple[Cell, str], ...]
    labels: dict[Checkpoint, str]
    """Of all checkpoints of the runs, also those without a cell here; its order is theirs in every table and picture."""

    @property
    def lengths(self) -> list[int]:
        return sorted({cell.name.length_tokens for cell, _ in self.members})

    @property
    def tasks(self) -> list[str]:
        return sorted({cell.name.task for cell, _ in self.members}, key=natural)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Those with a cell here, in the order in which the runs name them, which is that of `labels`."""
        here = {checkpoint_of(cell) for cell, _ in self.members}
        return [one for one in self.labels if one in here]

    def length(self, length_tokens: int) -> str:
        """A context length in words."""
        return length_in_words(self.topic.benchmark, length_tokens)

    def number(self, one: Checkpoint) -> int:
        """Place of a checkpoint among all of the runs: its colour, marker and line are the same wherever it is drawn."""
        return list(self.labels).index(one)

    @property
    def metrics(self) -> str:
        return ", ".join(sorted({metric for _, metric in self.members}))

    @property
    def fields(self) -> dict[str, str]:
        topic = self.topic
        return {"benchmark": topic.benchmark, "metric": self.metrics, "protocol": topic.protocol, "better": topic.better}

    @property
    def averages_tasks(self) -> bool:
        """Whether a mean over the tasks says something: not where they are variants of one another, or a mix."""
        return len(self.tasks) > 1 and self.topic.aggregation == "mean" and all(cell.averaged for cell, _ in self.members)

    def title(self, at: str = "") -> str:
        topic = self.topic
        return f"{topic.benchmark}{at}: {self.metrics}{topic.unit}, {topic.better} is better (protocol {topic.protocol})"

    def entries(self) -> dict[tuple[str, Checkpoint, int], Entry]:
        """Every cell as a table shows it, by (task, checkpoint, length)."""
        return {
            (cell.name.task, checkpoint_of(cell), cell.name.length_tokens): cell_entry(cell, metric)
            for cell, metric in self.members
        }

    def sides(self, columns: int) -> tuple[bool | None, ...]:
        """Which way each of `columns` columns and their average is better; the count after them has no better."""
        return (*[self.topic.better == "higher"] * (columns + 1), None)


def decimals_of(rule: MetricRule) -> int:
    """Printed digits: one for percent, two for perplexities and the like."""
    return 1 if rule.scale == 100 else 2


def cell_entry(cell: Cell, metric: str) -> Entry:
    """One cell as a table shows it."""
    rule = cell.metrics[metric]
    _, scores, not_finite = scores_of(cell, metric)
    value, rows = aggregate(rule.aggregation, scores), len(scores)
    if metric in cell.reported:
        value, rows = cell.reported[metric].value, cell.reported[metric].rows
    return Entry(
        value=None if value is None else value * rule.scale,
        decimals=decimals_of(rule),
        rows=rows,
        failed=cell.failed + not_finite,
        cut=sum(bool(row.get("cut")) for row in cell.rows),
        planned=cell.planned,
        fill=cell.fill,
        stand_in=any(row.get("stand_in") for row in cell.rows),
        damaged=cell.damaged,
        measure=(Part(rule.scale, cell, metric),) if value is not None else (),
    )


def average(entries: Sequence[Entry], partial: bool) -> Entry:
    """The plain mean of entries. Empty where one is missing, unless `partial`, which then says how many cells were there."""
    present = [(entry, entry.value) for entry in entries if entry.value is not None]
    complete = len(present) == len(entries) and not any(entry.members for entry in entries)
    shown = bool(present) and (complete or partial)
    planned = [entry.planned for entry in entries]
    fills = [entry.fill for entry in entries if entry.fill is not None]
    wanted = sum(entry.cells for entry in entries)
    there = sum(entry.members[0] if entry.members else entry.cells for entry, _ in present)
    return Entry(
        value=sum(value for _, value in present) / len(present) if shown else None,
        decimals=max((entry.decimals for entry in entries), default=1),
        rows=sum(entry.rows for entry in entries),
        failed=sum(entry.failed for entry in entries),
        cut=sum(entry.cut for entry in entries),
        planned=None if None in planned else sum(count for count in planned if count is not None),
        fill=sum(fills) / len(fills) if fills else None,
        cells=wanted,
        members=(there, wanted) if shown and not complete else None,
        stand_in=any(entry.stand_in for entry in entries),
        damaged=sum(entry.damaged for entry in entries),
        measure=tuple(part for entry, _ in present for part in scaled(entry.measure, 1 / len(present))) if shown else (),
    )


def with_average(entries: Sequence[Entry], options: LayoutOptions) -> tuple[Entry, ...]:
    """Entries, their average, and the number of rows behind the line."""
    rows = sum(entry.rows for entry in entries)
    return (*entries, average(entries, options.partial), Entry(value=float(rows) if rows else None, decimals=0))


def groups_of(cells: Cells, options: LayoutOptions) -> list[Group]:
    """Cells by what may stand in one table together.

    Raises:
        UserError: no cell has the metric asked for.
    """
    shown: dict[Topic, list[tuple[Cell, str]]] = {}
    for cell in cells.cells:
        metric = options.metric or cell.primary
        rule = cell.metrics.get(metric)
        if rule is not None:
            better = "higher" if rule.higher_is_better else "lower"
            topic = Topic(cell.name.protocol, cell.name.benchmark, better, rule.aggregation, rule.scale)
            shown.setdefault(topic, []).append((cell, metric))
    if not shown:
        known = sorted({metric for cell in cells.cells for metric in cell.metrics})
        raise UserError(
            f"no cell has the metric {options.metric!r}; known: {', '.join(known) or 'none'}; choose with --metric"
        )
    labels = checkpoint_labels(cells.cells)
    return [Group(topic, tuple(members), labels) for topic, members in sorted(shown.items(), key=lambda item: item[0])]


def lengths_table(cells: Cells, options: LayoutOptions) -> Table:
    """One section a benchmark: lines are checkpoints, grouped by task, columns lengths; first the mean over the tasks."""
    return finished(cells, [_lengths_section(group, options) for group in groups_of(cells, options)])


def _lengths_section(group: Group, options: LayoutOptions) -> Section:
    entries, lengths = group.entries(), group.lengths
    missing = Entry(decimals=next(iter(entries.values())).decimals)

    def at(task: str, checkpoint: Checkpoint, length: int) -> Entry:
        return entries.get((task, checkpoint, length), missing)

    lines = []
    if group.averages_tasks:
        name = f"mean of {len(group.tasks)} tasks"
        for one in group.checkpoints:
            means = [average([at(task, one, length) for task in group.tasks], options.partial) for length in lengths]
            lines.append(Line((name, group.labels[one]), with_average(means, options), name))
    for task in group.tasks:
        for one in group.checkpoints:
            line = with_average([at(task, one, length) for length in lengths], options)
            lines.append(Line((task, group.labels[one]), line, task))
    columns = (*map(group.length, lengths), "average", "n")
    return Section(group.title(), group.fields, ("task", "checkpoint"), columns, tuple(lines), group.sides(len(lengths)))


def tasks_table(cells: Cells, options: LayoutOptions) -> Table:
    """One section a benchmark and length: lines are checkpoints, columns tasks."""
    sections = []
    for group in groups_of(cells, options):
        entries = group.entries()
        missing = Entry(decimals=next(iter(entries.values())).decimals)
        for length in group.lengths:
            members = tuple((cell, metric) for cell, metric in group.members if cell.name.length_tokens == length)
            sections.append(_tasks_section(replace(group, members=members), length, entries, missing, options))
    return finished(cells, sections)


def _tasks_section(
    group: Group, length: int, entries: dict[tuple[str, Checkpoint, int], Entry], missing: Entry, options: LayoutOptions
) -> Section:
    lines = []
    for one in group.checkpoints:
        line = with_average([entries.get((task, one, length), missing) for task in group.tasks], options)
        lines.append(Line((group.labels[one],), line if group.averages_tasks else (*line[:-2], line[-1])))
    sides = group.sides(len(group.tasks))
    columns = (*group.tasks, "average", "n")
    if not group.averages_tasks:
        sides, columns = (*sides[:-2], sides[-1]), (*columns[:-2], columns[-1])
    fields = {**group.fields, "length": group.length(length)}
    return Section(group.title(f" at {group.length(length)}"), fields, ("checkpoint",), columns, tuple(lines), sides)


def finished(cells: Cells, sections: Sequence[Section]) -> Table:
    """The table with the notes that keep a reader from being misled."""
    return Table(tuple(sections), table_notes(cells))
