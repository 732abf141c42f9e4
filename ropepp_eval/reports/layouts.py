"""From cells to a table whose columns are context lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells, MetricRule, scores_of
from ropepp_eval.reports.table import Entry, Line, Section, Table

Checkpoint = tuple[str, str, str]
"""(name, sha256, position): what one line of a table is about."""


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """What all layouts share."""

    partial: bool = False
    """Average over the members present, and say how many."""
    metric: str | None = None
    """Show this metric instead of each task's primary one."""


def checkpoint_of(cell: Cell) -> Checkpoint:
    return cell.name.checkpoint, cell.name.checkpoint_sha256, cell.name.position


def checkpoint_labels(cells: Iterable[Cell]) -> dict[Checkpoint, str]:
    """A label for each checkpoint: its name, with hash or position added only where names alone don't tell two apart."""
    checkpoints = sorted({checkpoint_of(cell) for cell in cells})
    labels = {}
    for name, sha256, position in checkpoints:
        twins = [other for other in checkpoints if other[0] == name]
        extra = []
        if len({other[1] for other in twins}) > 1:
            extra.append(sha256[:8])
        if len({other[2] for other in twins}) > 1:
            extra.append(position)
        labels[name, sha256, position] = f"{name} ({', '.join(extra)})" if extra else name
    return labels


def metric_of(cell: Cell, options: LayoutOptions) -> str | None:
    """The metric to show of a cell; None where the asked one is not a metric of its task."""
    if options.metric is None:
        return cell.primary
    return options.metric if options.metric in cell.metrics else None


def decimals_of(rule: MetricRule) -> int:
    """Printed digits: one for percent, two for perplexities and the like."""
    return 1 if rule.scale == 100 else 2


def cell_entry(cell: Cell, metric: str) -> Entry:
    """One cell as a table shows it."""
    rule = cell.metrics[metric]
    _, scores, not_finite = scores_of(cell, metric)
    value = aggregate(rule.aggregation, scores)
    fills = [row["prompt_tokens"] + (row.get("budget") or 0) for row in cell.rows if row.get("prompt_tokens") is not None]
    fill = sum(fills) / len(fills) / cell.name.length_tokens if fills and max(fills) <= cell.name.length_tokens else None
    return Entry(
        value=None if value is None else value * rule.scale,
        decimals=decimals_of(rule),
        rows=len(scores),
        failed=sum(row["error"] is not None for row in cell.rows) + not_finite,
        cut=sum(bool(row.get("cut")) for row in cell.rows),
        planned=cell.planned,
        fill=fill,
        stand_in=any(row.get("stand_in") for row in cell.rows),
        damaged=cell.damaged,
    )


def average(entries: Sequence[Entry], partial: bool) -> Entry:
    """The plain mean of entries. Empty where one is missing, unless `partial`, which then says how many were there."""
    present = [entry for entry in entries if entry.value is not None]
    complete = len(present) == len(entries)
    shown = bool(present) and (complete or partial)
    planned = [entry.planned for entry in entries]
    return Entry(
        value=sum(entry.value for entry in present if entry.value is not None) / len(present) if shown else None,
        decimals=max((entry.decimals for entry in entries), default=1),
        rows=sum(entry.rows for entry in entries),
        failed=sum(entry.failed for entry in entries),
        cut=sum(entry.cut for entry in entries),
        planned=None if None in planned else sum(count for count in planned if count is not None),
        members=(len(present), len(entries)) if shown and not complete else None,
        stand_in=any(entry.stand_in for entry in entries),
        damaged=sum(entry.damaged for entry in entries),
    )


def lengths_table(cells: Cells, options: LayoutOptions) -> Table:
    """One section a (protocol, benchmark, metric): lines are checkpoints, grouped by task, columns lengths.

    Where a section holds several tasks, the first group is their plain mean.
    """
    shown = [(cell, metric) for cell in cells.cells if (metric := metric_of(cell, options))]
    if not shown:
        raise UserError(f"no cell has the metric {options.metric!r}; leave --metric out for each task's own")
    labels = checkpoint_labels(cells.cells)
    sections: dict[tuple[str, ...], list[tuple[Cell, str]]] = {}
    for cell, metric in shown:
        rule = cell.metrics[metric]
        direction = "higher" if rule.higher_is_better else "lower"
        key = (cell.name.protocol, cell.name.benchmark, metric, direction, str(rule.scale))
        sections.setdefault(key, []).append((cell, metric))
    made = [_lengths_section(key, members, labels, options) for key, members in sorted(sections.items())]
    return Table(tuple(made), table_notes(cells, made))


def _lengths_section(
    key: tuple[str, ...], members: list[tuple[Cell, str]], labels: dict[Checkpoint, str], options: LayoutOptions
) -> Section:
    protocol, benchmark, metric, direction, scale = key
    lengths = sorted({cell.name.length_tokens for cell, _ in members})
    tasks = sorted({cell.name.task for cell, _ in members}, key=natural)
    checkpoints = sorted({checkpoint_of(cell) for cell, _ in members}, key=lambda one: natural(labels[one]))
    by_place = {(cell.name.task, checkpoint_of(cell), cell.name.length_tokens): cell_entry(cell, m) for cell, m in members}
    decimals = next(iter(by_place.values())).decimals
    missing = Entry(decimals=decimals)
    lines = []
    if len(tasks) > 1:
        group = f"mean of {len(tasks)} tasks"
        for checkpoint in checkpoints:
            means = [average([by_place.get((t, checkpoint, n), missing) for t in tasks], options.partial) for n in lengths]
            lines.append(_line(group, labels[checkpoint], means, options))
    for task in tasks:
        for checkpoint in checkpoints:
            entries = [by_place.get((task, checkpoint, length), missing) for length in lengths]
            lines.append(_line(task, labels[checkpoint], entries, options))
    unit = "percent" if float(scale) == 100 else ("" if float(scale) == 1 else f"times {float(scale):g}")
    title = f"{benchmark}: {metric}{f' in {unit}' if unit else ''}, {direction} is better (protocol {protocol})"
    fields = {"benchmark": benchmark, "metric": metric, "protocol": protocol, "better": direction}
    columns = (*map(format_length, lengths), "average", "n")
    better = direction == "higher"
    return Section(title, fields, ("task", "checkpoint"), columns, tuple(lines), (*[better] * (len(columns) - 1), None))


def _line(group: str, label: str, entries: list[Entry], options: LayoutOptions) -> Line:
    """Entries, their average, and the number of rows behind the line."""
    rows = sum(entry.rows for entry in entries)
    count = Entry(value=float(rows), decimals=0) if rows else Entry(decimals=0)
    return Line((group, label), (*entries, average(entries, options.partial), count), group)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts `qa2` before `qa10`."""
    import re

    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)


def table_notes(cells: Cells, sections: Sequence[Section]) -> tuple[str, ...]:
    """What a reader must know to not be misled: averages, stand-in text, unfinished cells, failures, damage."""
    entries = [entry for section in sections for line in section.lines for entry in line.entries[:-2]]
    notes = ["average: plain mean of the columns shown, empty where one is missing; n: rows behind the line"]
    failed = sum(len([row for row in cell.rows if row["error"] is not None]) for cell in cells.cells)
    unfinished = sum(cell.planned is not None and len(cell.rows) < cell.planned for cell in cells.cells)
    if failed:
        notes.append(f"{failed} failed rows are counted as failed and left out of every value")
    if unfinished:
        notes.append(f"{unfinished} of {len(cells.cells)} cells hold fewer rows than planned")
    if any(entry.stand_in for entry in entries):
        notes.append("some rows hold generated text in place of a real corpus (stand_in)")
    notes.extend(f"damaged, left out: {one}" for one in cells.damage)
    return tuple(notes)
