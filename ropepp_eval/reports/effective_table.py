"""Effective context lengths as a table, as sentences, and as a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.reports.cells import Cells, read_cells
from ropepp_eval.reports.effective_length import RULES, EffectiveLength, Limits, effective_lengths
from ropepp_eval.reports.layouts import Group, LayoutOptions
from ropepp_eval.reports.notes import table_notes
from ropepp_eval.reports.table import Entry, Line, Section, Table

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "checkpoint", "checkpoint_sha256", "position", "benchmark", "protocol", "tasks", "rule", "limit", "holds_to", "low", "high",
    "longest", "in_words",
)  # fmt: skip


def effective_table(cells: Cells, options: LayoutOptions, limits: Limits) -> Table:
    """One section a benchmark, one line a checkpoint: to which length it holds, by both rules.

    Raises:
        UserError: a limit is out of range, or no benchmark was asked at two lengths with a score in percent.
    """
    return table_of_lengths(cells, effective_lengths(cells, options, limits), limits)


def table_of_lengths(cells: Cells, found: list[EffectiveLength], limits: Limits) -> Table:
    """The same of lengths that are already found."""
    sections = [_section([one for one in found if (one.group, one.tasks) == key], limits) for key in _benchmarks(found)]
    notes = [
        "holds to: the longest length asked up to which the score seen has not fallen; in brackets the lengths that the rows can't "
        "rule out (95 %)",
        "or more: the longest length asked has not fallen; none: it has at the shortest",
    ]
    alone = {cell.name.benchmark for cell in cells.cells} - {one.group.topic.benchmark for one in found}
    if alone:
        notes.append(f"without an effective length (one length, or no score in percent): {', '.join(sorted(alone))}")
    return Table(tuple(sections), (*notes, *table_notes(cells, ())))


def _benchmarks(found: list[EffectiveLength]) -> list[tuple[Group, tuple[str, ...]]]:
    keys: list[tuple[Group, tuple[str, ...]]] = []
    for one in found:
        if (one.group, one.tasks) not in keys:
            keys.append((one.group, one.tasks))
    return keys


def _section(found: list[EffectiveLength], limits: Limits) -> Section:
    group, tasks = found[0].group, found[0].tasks
    lines = []
    for one in group.checkpoints:
        rules = {length.rule: length for length in found if length.checkpoint == one}
        if rules:
            lines.append(Line((group.labels[one],), tuple(_entry(rules[rule]) for rule in RULES)))
    columns = (f"holds to, at {limits.threshold:g} %", f"holds to, within {limits.margin:g} points of its shortest")
    title = f"{group.topic.benchmark}: effective context length by {group.metrics} (protocol {group.topic.protocol})"
    notes: tuple[str, ...] = (f"mean of {', '.join(tasks)}",) if len(tasks) > 1 else (f"task {tasks[0]}",)
    left_out = [task for task in group.tasks if task not in tasks]
    notes += (f"left out, not run at every length by every checkpoint: {', '.join(left_out)}",) if left_out else ()
    return Section(title, group.fields, ("checkpoint",), columns, tuple(lines), (None, None), notes)


def _entry(one: EffectiveLength) -> Entry:
    return Entry(
        value=float(one.tokens(one.holds)), decimals=0, text=one.words(),
        interval=(float(one.tokens(one.fewest)), float(one.tokens(one.most))),
    )  # fmt: skip


def effective_sentences(cells: Cells, options: LayoutOptions) -> tuple[str, ...]:
    """One sentence a benchmark for the end of a table; none where no benchmark was asked at two lengths."""
    from ropepp_eval.errors import UserError

    limits = Limits()
    try:
        found = effective_lengths(cells, options, limits)
    except UserError:
        return ()
    said = []
    for group, tasks in _benchmarks(found):
        own = [one for one in found if (one.group, one.tasks, one.rule) == (group, tasks, "margin")]
        name = group.topic.benchmark if len(tasks) > 1 or len(group.tasks) > 1 else tasks[0]
        lengths = "; ".join(f"{group.labels[one.checkpoint]} {one.words()}" for one in own)
        said.append(f"effective length on {name}, within {limits.margin:g} points of the score at the shortest: {lengths}")
    return tuple(said)


def read_effective_lengths(
    *dirs: str | Path, threshold: float = Limits.threshold, margin: float = Limits.margin, latest: bool = False
) -> pandas.DataFrame:
    """One line a checkpoint, benchmark and rule: the effective context length of run folders.

    Columns: checkpoint, checkpoint_sha256, position, benchmark, protocol, tasks (joined by commas), rule (`threshold` or `margin`),
    limit (in points), holds_to, low, high (tokens; 0: fallen at the shortest length), longest (tokens; where `high` is that, the
    fall may lie beyond what was asked), in_words.

    Args:
        threshold: score in percent that counts as held.
        margin: points that the score may fall below that at the shortest length.
        latest: where two runs hold the same cell and disagree, take the younger run's.

    Raises:
        UserError: a folder holds no run, a limit is out of range, or nothing was asked at two lengths.
    """
    import pandas

    limits = Limits(threshold=threshold, margin=margin)
    found = effective_lengths(read_cells(*dirs, latest=latest), LayoutOptions(), limits)
    lines = []
    for one in found:
        topic = one.group.topic
        limit = threshold if one.rule == "threshold" else margin
        tokens = [one.tokens(count) for count in (one.holds, one.fewest, one.most, len(one.lengths))]
        lines.append(
            (*one.checkpoint, topic.benchmark, topic.protocol, ",".join(one.tasks), one.rule, limit, *tokens, one.words())
        )
    return pandas.DataFrame(lines, columns=list(COLUMNS))
