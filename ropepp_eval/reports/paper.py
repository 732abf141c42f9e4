"""The paper's Tables 1-3 made from anyone's runs, and set beside the published numbers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import Cell, Cells
from ropepp_eval.reports.layouts import LayoutOptions, average, cell_entry, finished
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of
from ropepp_eval.reports.published import (
    Column,
    Member,
    PublishedNames,
    PublishedTable,
    discrepancies,
    published_names,
    published_rows,
    published_table,
)
from ropepp_eval.reports.table import Entry, Line, Section, Table
from ropepp_eval.reports.unexplained import judged, unexplained_notes

TRAINED_SHORT_TOKENS = 4096
"""The paper's first training stage; what was trained on longer contexts is its second."""


@dataclass(frozen=True)
class PaperLine:
    """A checkpoint in the paper's words."""

    size: str
    stage: str
    scaling: str
    method: str

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        return tuple(getattr(self, column) for column in columns)

    def stands_in(self, table: PublishedTable) -> bool:
        """Whether this kind of checkpoint belongs into this table: stretched positions are Table 3's subject."""
        return (self.scaling == "none") != ("scaling" in table.label_columns)

    def compared_with(self, table: PublishedTable) -> bool:
        """Table 2 has no stage column: all its models are of the second."""
        return self.stage == "long" or table.name != "paper2"


def paper_line(position: str, info: Mapping[str, object]) -> PaperLine:
    """How the paper would call a checkpoint, from what its run recorded.

    The size is the published one within 15 % of the parameters, else the number itself; the stage follows from the trained
    length; the method from the position embedding.
    """
    names = published_names()
    trained = info.get("max_position_embeddings")
    long = isinstance(trained, int) and trained > TRAINED_SHORT_TOKENS
    scaling = str(info.get("scaling") or "none")
    return PaperLine(
        size=_size_name(info.get("parameters"), names),
        stage="long" if long else "short",
        scaling=names.scalings.get(scaling, scaling),
        method=names.methods.get(re.split("[:+]", position)[0], position),
    )


def _size_name(parameters: object, names: PublishedNames) -> str:
    if not isinstance(parameters, int) or parameters <= 0:
        return "unknown"
    for name, size in names.sizes.items():
        if abs(math.log(parameters / size)) < math.log(1.15):
            return name
    for unit, factor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= factor:
            return f"{parameters / factor:.3g}{unit}"
    return str(parameters)


def parse_names(texts: Sequence[str], table: PublishedTable) -> dict[str, PaperLine]:
    """`--as CHECKPOINT=376M/long/RoPE++_EC`: the user's own word for what a checkpoint is, in the table's label columns.

    Raises:
        UserError: the text does not have the table's labels.
    """
    said = {}
    for text in texts:
        name, _, labels = text.rpartition("=")
        parts = labels.split("/")
        if not name or len(parts) != len(table.label_columns):
            wanted = "/".join(table.label_columns)
            raise UserError(
                f"--as {text!r} does not fit {table.name}; write CHECKPOINT={wanted}, such as mine={_example(table)}"
            )
        own = dict(zip(table.label_columns, parts, strict=True))
        stage = own.get("stage", "long")
        said[name] = PaperLine(own["size"], stage, own.get("scaling", "none"), own["method"])
    return said


def _example(table: PublishedTable) -> str:
    return "/".join(next(iter(table.values)))


def paper_table(
    cells: Cells, options: LayoutOptions, name: str, *, compare: bool = False, said: Sequence[str] = ()
) -> Table:
    """Layout `paper1`, `paper2` or `paper3`: one section a protocol, one line a checkpoint.

    Args:
        compare: below each measured line, the published one and the difference (measured minus published).
        said: `CHECKPOINT=LABELS` for checkpoints whose place in the table can't be told from the run.

    Raises:
        UserError: no checkpoint belongs into this table, or none of its cells was run.
    """
    table = published_table(name)
    names = parse_names(said, table)
    lines = {
        checkpoint_of(cell): names.get(cell.name.checkpoint)
        or paper_line(cell.name.position, cells.checkpoints.get(checkpoint_of(cell), {}))
        for cell in cells.cells
    }
    sections = []
    for protocol in sorted({cell.name.protocol for cell in cells.cells}):
        wanted = {task for column in table.columns for task in column.tasks}
        members = [
            cell
            for cell in cells.cells
            if cell.name.protocol == protocol and cell.name.task in wanted and lines[checkpoint_of(cell)].stands_in(table)
        ]
        if members:
            sections.append(_section(table, protocol, members, lines, options, compare))
    if not sections:
        raise UserError(_nothing(table, lines.values()))
    made = finished(cells, sections)
    return Table(made.sections, (*made.notes, *([f"published numbers: {table.source}"] if compare else [])))


def _nothing(table: PublishedTable, lines: Iterable[PaperLine]) -> str:
    scalings = sorted({line.scaling for line in lines})
    return (
        f"nothing in these runs belongs into {table.name} (position scaling of the checkpoints: {', '.join(scalings)}; "
        f"tasks wanted: {', '.join(dict.fromkeys(t for c in table.columns for t in c.tasks[:2]))}, ...); "
        "use --layout lengths, or say what a checkpoint is with --as"
    )


def _section(
    table: PublishedTable,
    protocol: str,
    members: list[Cell],
    lines: Mapping[Checkpoint, PaperLine],
    options: LayoutOptions,
    compare: bool,
) -> Section:
    labels = checkpoint_labels(members)
    order = {key: place for place, key in enumerate(table.values)}

    def place(one: Checkpoint) -> int:  # the paper's order; what it does not know follows in the order of the runs
        return order.get(lines[one].labels(table.label_columns), len(order))

    made: list[Line] = []
    for one in sorted(labels, key=place):
        own = lines[one].labels(table.label_columns)
        group = " ".join(own[:-1])
        entries = _measured(table, [cell for cell in members if checkpoint_of(cell) == one], options)
        made.append(Line((*own, labels[one], *(["measured"] if compare else [])), entries, group))
        if compare:
            known = table.values.get(own) if lines[one].compared_with(table) else None
            made.extend(_beside(table, own, labels[one], entries, group) if known else [])
    harnesses = {
        str(cell.settings["harness"]) for cell in members if "harness" in cell.settings and cell.name.benchmark == LM_EVAL
    }
    notes = (*_comparison_notes(table, protocol, made, harnesses), *_unexplained(table, made)) if compare else ()
    label_columns = (*table.label_columns, "checkpoint", *(["source"] if compare else []))
    sides = tuple(column.higher_is_better for column in table.columns)
    title = f"{table.title} (protocol {protocol})"
    columns = tuple(column.title for column in table.columns)
    return Section(title, {"table": table.name, "protocol": protocol}, label_columns, columns, tuple(made), sides, notes)


def _measured(table: PublishedTable, cells: Sequence[Cell], options: LayoutOptions) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for column in table.columns:
        if not column.mean_of:
            entries[column.printed] = _column_entry(column, cells, options)
    for column in table.columns:
        if column.mean_of:
            entries[column.printed] = average([entries[name] for name in column.mean_of], options.partial)
    return tuple(replace(entries[column.printed], decimals=1) for column in table.columns)


def _column_entry(column: Column, cells: Sequence[Cell], options: LayoutOptions) -> Entry:
    """The mean over the column's members at its length."""
    members = [_member_entry(member, column.length_tokens, cells, options) for member in column.members]
    return members[0] if len(members) == 1 else average(members, options.partial)


def _member_entry(member: Member, length_tokens: int | None, cells: Sequence[Cell], options: LayoutOptions) -> Entry:
    """The first alternative that is whole, else the first of which there is anything. A task whose length does not matter must have been
    run at one, else it is missing."""
    started = []
    for tasks in member.alternatives:
        entries = []
        for task in tasks:
            found = [cell for cell in cells if cell.name.task == task and length_tokens in (None, cell.name.length_tokens)]
            entries.append(_task_entry(found[0]) if len(found) == 1 else Entry())
        present = [entry for entry in entries if entry.value is not None]
        if present:
            started.append(entries[0] if len(entries) == 1 else average(entries, options.partial))
            if len(present) == len(entries):
                return started[-1]
    return started[0] if started else Entry()


def _task_entry(cell: Cell) -> Entry:
    """A cell by the metric that the table is about: the one that is named for the task, where rows have it, else its primary."""
    named = published_names().metrics.get(cell.name.task)
    entry = cell_entry(cell, named) if named in cell.metrics and named is not None else Entry()
    return cell_entry(cell, cell.primary) if entry.value is None else entry


def _beside(table: PublishedTable, own: tuple[str, ...], label: str, measured: Sequence[Entry], group: str) -> list[Line]:
    """The published line and the difference line.

    An average is set against the mean of the published cells, so that misprints do not show as differences of ours.
    """
    published = [Entry(value=float(table.recomputed(own, column))) for column in table.columns]
    differences = [
        Entry(
            value=None if one.value is None or other.value is None or one.members else one.value - other.value, signed=True
        )
        for one, other in zip(measured, published, strict=True)
    ]
    return [
        Line((*own, label, "published"), tuple(published), group, ranked=False),
        Line((*own, label, "difference"), tuple(differences), group, ranked=False),
    ]


def _unexplained(table: PublishedTable, lines: Sequence[Line]) -> tuple[str, ...]:
    """Notes on the differences of the measured lines from the published ones below them."""
    rows, labels = published_rows(table.name), len(table.label_columns)
    found = [
        judged(" ".join(line.labels[:labels]), column, own, printed.value, rows)
        for line, below in itertools.pairwise(lines)
        if below.labels[-1] == "published"
        for column, own, printed in zip(table.columns, line.entries, below.entries, strict=True)
        if printed.value is not None
    ]
    return unexplained_notes([one for one in found if one is not None])


def _comparison_notes(
    table: PublishedTable, protocol: str, lines: Sequence[Line], harnesses: Iterable[str]
) -> tuple[str, ...]:
    notes = []
    if protocol != "paper":
        notes.append(
            f"measured with protocol {protocol}, not the paper's: differences hold prompts, budgets and scoring too; "
            "run with --protocol paper to compare"
        )
    for harness in sorted(harnesses):
        notes.append(
            f"columns from {harness} hold its definitions, the published ones OpenCompass's: they compare with each other, "
            "not with the paper (tasks/short/README.md says how they differ)"
        )
    notes.append("difference: measured minus published; published averages are those of the published cells")
    compared = {line.labels[: len(table.label_columns)] for line in lines if line.labels[-1] == "published"}
    for found in discrepancies():
        if found.table == table.name and found.labels in compared:
            notes.append(
                f"{' '.join(found.labels)}, {found.column}: printed {found.printed}, its cells give {found.recomputed:.2f}"
            )
    alone = dict.fromkeys(line.labels[-2] for line in lines) if not compared else ()
    if alone:
        notes.append(f"no published line for {', '.join(alone)}; say what it is with --as")
    return tuple(notes)
