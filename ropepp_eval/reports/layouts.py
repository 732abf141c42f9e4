"""From cells to tables whose columns are context lengths, or tasks."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells, MetricRule, length_in_words, scores_of
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.measures import Part, scaled
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of, counted, natural
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
    companion: str = ""
    """The metric, where it is none that its tasks are first told by."""

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
    def alike(self) -> bool:
        """Whether a mean over its tasks says something: not where they are variants of one another, or a mix."""
        return all(cell.averaged for cell, _ in self.members)

    @functools.cached_property
    def averaged(self) -> tuple[str, ...]:
        """Tasks that every mean over tasks is of: those that most (checkpoint, length) pairs were planned with.

        So a stray run, which brings more tasks for some checkpoints or lengths, does not change what the others' means are of. Of sets
        that equally many have, the one that is whole for the most pairs counts, then the larger. Empty: no mean is shown.
        """
        if self.topic.aggregation != "mean" or not self.alike:
            return ()
        planned: dict[tuple[Checkpoint, int], set[str]] = {}
        for cell, _ in self.members:
            planned.setdefault((checkpoint_of(cell), cell.name.length_tokens), set()).add(cell.name.task)
        sets = Counter(frozenset(tasks) for tasks in planned.values())
        several = [tasks for tasks in sets if len(tasks) > 1]
        best = max(
            several,
            key=lambda one: (sets[one], sum(one <= tasks for tasks in planned.values()), len(one), sorted(one)),
            default=frozenset[str](),
        )
        return tuple(sorted(best, key=natural))

    @property
    def averages_tasks(self) -> bool:
        return bool(self.averaged)

    @property
    def mean_name(self) -> str:
        return f"mean of {counted(len(self.averaged), 'task')}"

    def mean_notes(self) -> tuple[str, ...]:
        """Which tasks a mean is of, and which it leaves out, with the folders that brought those."""
        if not self.averaged:
            return ()
        others = [task for task in self.tasks if task not in self.averaged]
        notes = [f"{self.mean_name}: {', '.join(self.averaged)}"]
        folders: dict[str, list[str]] = {}
        for task in others:
            brought = {folder: None for cell, _ in self.members if cell.name.task == task for folder in cell.folders}
            folders.setdefault(" and ".join(brought), []).append(task)
        notes += [
            f"not in the mean, since other checkpoints or lengths lack them: {', '.join(tasks)} (from {folder})"
            for folder, tasks in folders.items()
        ]
        return tuple(notes)

    def title(self, at: str = "") -> str:
        topic = self.topic
        return f"{topic.benchmark}{at}: {self.metrics}{topic.unit}, {topic.better} is better (protocol {topic.protocol})"

    @functools.cached_property
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
        cut=cell.rows.cut,
        planned=cell.planned,
        fill=cell.fill,
        stand_in=cell.rows.stand_in,
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
    return (*entries, average(entries, options.partial), row_count(entries))


def row_count(entries: Sequence[Entry]) -> Entry:
    """The number of rows behind a line."""
    rows = sum(entry.rows for entry in entries)
    return Entry(value=float(rows) if rows else None, decimals=0)


COMPANIONS = {"acc": "acc_norm"}
"""Metrics that tables show beside a task's own, in a section of its own: papers quote one, users the other."""


def groups_of(cells: Cells, options: LayoutOptions, *, companions: bool = False) -> list[Group]:
    """Cells by what may stand in one table together; with `companions`, groups of the metrics that go with those shown, too.

    Raises:
        UserError: no cell has the metric asked for.
    """
    shown: dict[Topic, list[tuple[Cell, str]]] = {}
    for cell in cells.cells:
        own = options.metric or cell.primary
        also = COMPANIONS.get(own, "") if companions and not options.metric and cell.name.benchmark != LM_EVAL else ""
        for metric in (own, also):
            if metric in cell.metrics:
                rule = cell.metrics[metric]
                better = "higher" if rule.higher_is_better else "lower"
                name = cell.name
                topic = Topic(
                    name.protocol, name.benchmark, better, rule.aggregation, rule.scale, metric if metric == also else ""
                )
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
    return finished(cells, [_lengths_section(group, options) for group in groups_of(cells, options, companions=True)])


def _lengths_section(group: Group, options: LayoutOptions) -> Section:
    entries, lengths = group.entries, group.lengths
    missing = Entry(decimals=next(iter(entries.values())).decimals)

    def at(task: str, checkpoint: Checkpoint, length: int) -> Entry:
        return entries.get((task, checkpoint, length), missing)

    lines = []
    if group.averages_tasks:
        name = group.mean_name
        for one in group.checkpoints:
            means = [average([at(task, one, length) for task in group.averaged], options.partial) for length in lengths]
            lines.append(Line((name, group.labels[one]), with_average(means, options), name))
    for task in group.tasks:
        for one in group.checkpoints:
            line = with_average([at(task, one, length) for length in lengths], options)
            lines.append(Line((task, group.labels[one]), line, task))
    columns = (*map(group.length, lengths), "average", "n")
    sides, notes = group.sides(len(lengths)), group.mean_notes()
    return Section(group.title(), group.fields, ("task", "checkpoint"), columns, tuple(lines), sides, notes)


def tasks_table(cells: Cells, options: LayoutOptions) -> Table:
    """One section a benchmark and length: lines are checkpoints, columns tasks."""
    groups = groups_of(cells, options, companions=True)
    return finished(cells, [_tasks_section(group, length, options) for group in groups for length in group.lengths])


def _tasks_section(group: Group, length: int, options: LayoutOptions) -> Section:
    entries = group.entries
    missing = Entry(decimals=next(iter(entries.values())).decimals)
    here = replace(group, members=tuple(member for member in group.members if member[0].name.length_tokens == length))
    averaged = bool({*here.tasks} & {*group.averaged})
    lines = []
    for one in here.checkpoints:
        shown = {task: entries.get((task, one, length), missing) for task in here.tasks}
        mean = [average([shown.get(task, missing) for task in group.averaged], options.partial)] if averaged else []
        lines.append(Line((group.labels[one],), (*shown.values(), *mean, row_count(list(shown.values())))))
    columns = (*here.tasks, *(["average"] if averaged else []), "n")
    sides = (*[group.topic.better == "higher"] * (len(columns) - 1), None)
    fields, notes = {**group.fields, "length": group.length(length)}, group.mean_notes() if averaged else ()
    return Section(group.title(f" at {group.length(length)}"), fields, ("checkpoint",), columns, tuple(lines), sides, notes)


def finished(cells: Cells, sections: Sequence[Section]) -> Table:
    """The table with the notes that keep a reader from being misled."""
    return Table(tuple(sections), table_notes(cells, {name for section in sections for name in section.columns}))
