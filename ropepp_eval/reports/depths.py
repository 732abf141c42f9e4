"""Scores by needle depth: where in the context the asked-for fact stood."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells, scores_of
from ropepp_eval.reports.layouts import Group, LayoutOptions, finished, groups_of
from ropepp_eval.reports.naming import checkpoint_of, counted
from ropepp_eval.reports.table import Entry, Line, Section, Table

BOXES = 10
"""Tables show depth in tenths of the context."""
DIVISIONS = (10, 5, 4, 2, 1)
"""Pictures show it in as many parts as the rows fill, of these."""


def depths_of(details: Mapping[str, Any] | None) -> list[float]:
    """Depths (0-100 %, 0 at the beginning) of the facts that a row asks for, however its task wrote them down.

    `needles` with `depth_percent` and `queried`, `depths_percent` or `depths` (a list), `depth` (a number).
    """
    details = details or {}
    if "needles" in details:
        return [needle["depth_percent"] for needle in details["needles"] if needle.get("queried", True)]
    for name in ("depths_percent", "depths"):
        if name in details:
            return list(details[name])
    return [details["depth"]] if details.get("depth") is not None else []


def box_of(depth: float, boxes: int = BOXES) -> int:
    """Number of the part of the context that a depth lies in; 100 % belongs to the last."""
    return min(int(depth * boxes / 100), boxes - 1)


def box_name(box: int, boxes: int = BOXES) -> str:
    return f"{100 * box // boxes}-{100 * (box + 1) // boxes} %"


def boxes_for(cells: Iterable[Cell]) -> int:
    """The finest division of the context in which no more than a tenth of the parts are empty, in the middle one of the cells."""
    depths = [[found[0] for row in cell.rows if len(found := depths_of(row.get("details"))) == 1] for cell in cells]

    def empty(boxes: int) -> float:
        return statistics.median(1 - len({box_of(depth, boxes) for depth in found}) / boxes for found in depths if found)

    return next((boxes for boxes in DIVISIONS if any(depths) and empty(boxes) <= 0.1), 1)


@dataclass(frozen=True)
class DepthScores:
    """One cell by depth."""

    boxes: tuple[tuple[Any, ...], ...]
    """Scores in each part of the context, from its beginning."""
    left_out: int
    """Scored rows that ask for several facts or none, so have no one depth."""

    def value(self, box: int, aggregation: str) -> float | None:
        return aggregate(aggregation, self.boxes[box])


def depth_scores(cell: Cell, metric: str, parts: int = BOXES) -> DepthScores:
    """Scores of `cell` sorted into depths, from rows that ask for exactly one fact."""
    boxes: list[list[Any]] = [[] for _ in range(parts)]
    left_out = 0
    for row, score in zip(*scores_of(cell, metric)[:2], strict=True):
        depths = depths_of(row.get("details"))
        if len(depths) == 1:
            boxes[box_of(depths[0], parts)].append(score)
        else:
            left_out += 1
    return DepthScores(tuple(map(tuple, boxes)), left_out)


def depth_table(cells: Cells, options: LayoutOptions) -> Table:
    """One section a task: lines are checkpoints at each length, columns tenths of the context from its beginning.

    Raises:
        UserError: no row has a depth.
    """
    sections = []
    for group in groups_of(cells, options):
        for task in group.tasks:
            section = _depth_section(group, task)
            if section is not None:
                sections.append(section)
    if not sections:
        raise UserError(
            "no row asks for one fact at a known depth; --layout depth needs tasks whose rows note it (`depth` in their details)"
        )
    return finished(cells, sections)


def _depth_section(group: Group, task: str) -> Section | None:
    members = [(cell, metric) for cell, metric in group.members if cell.name.task == task]
    members.sort(key=lambda member: (member[0].name.length_tokens, group.checkpoints.index(checkpoint_of(member[0]))))
    lines, left_out = [], 0
    for cell, metric in members:
        rule = cell.metrics[metric]
        found = depth_scores(cell, metric)
        left_out += found.left_out
        entries = []
        for box, scores in enumerate(found.boxes):
            value = found.value(box, rule.aggregation)
            entries.append(Entry(value=None if value is None else rule.scale * value, rows=len(scores)))
        rows = sum(map(len, found.boxes))
        length = format_length(cell.name.length_tokens)
        count = Entry(value=float(rows) if rows else None, decimals=0)
        lines.append(Line((length, group.labels[checkpoint_of(cell)]), (*entries, count), length))
    if not any(entry.rows for line in lines for entry in line.entries):
        return None
    topic = group.topic
    title = f"{task} by depth of the fact: {group.metrics}{topic.unit}, {topic.better} is better (protocol {topic.protocol})"
    columns = (*map(box_name, range(BOXES)), "n")
    sides = (None,) * (BOXES + 1)  # a tenth holds too few rows for a ranking
    notes = (f"{counted(left_out, 'row')} asking for several facts or none left out",) if left_out else ()
    return Section(title, {**group.fields, "task": task}, ("length", "checkpoint"), columns, tuple(lines), sides, notes)
