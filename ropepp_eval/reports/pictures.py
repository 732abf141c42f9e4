"""Loss by position, and every kind of picture by name."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells, scores_of
from ropepp_eval.reports.depth_maps import depth_pictures
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of
from ropepp_eval.reports.plots import (
    Picture,
    cache_pictures,
    dodges,
    draw_series,
    file_name,
    length_pictures,
    mark_trained,
    series_label,
)
from ropepp_eval.reports.statistics import score_interval
from ropepp_eval.reports.style import add_legend, new_figure, set_title
from ropepp_eval.reports.table import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BUCKET = re.compile(r"perplexity_at_(\d+)")
"""Metric of the tokens with this many to twice as many tokens before them in the window."""


def position_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Loss of tokens by how much context stands before them: one picture a task and length, one line a checkpoint."""
    pictures = []
    for group in groups_of(cells, LayoutOptions(partial=options.partial)):
        for (task, length), lines in losses_of(group).items():
            name = file_name("positions", group.topic.protocol, task, format_length(length))
            pictures.append(Picture(name, _position_figure(cells, group, f"{task} at {format_length(length)}", lines)))
    return pictures


def losses_of(group: Group) -> dict[tuple[str, int], dict[Checkpoint, dict[int, Entry]]]:
    """By task and length, of each checkpoint that has some: its mean losses by position."""
    found: dict[tuple[str, int], dict[Checkpoint, dict[int, Entry]]] = {}
    for task in group.tasks:
        for length in group.lengths:
            members = {
                checkpoint_of(cell): cell
                for cell, _ in group.members
                if (cell.name.task, cell.name.length_tokens) == (task, length)
            }
            lines = {one: losses for one in group.checkpoints if one in members and (losses := _losses(members[one]))}
            if lines:
                found[task, length] = lines
    return found


def _losses(cell: Cell) -> dict[int, Entry]:
    """By first position of the bucket: mean loss in nats a token, with its 95 % interval."""
    found = {}
    for metric, rule in cell.metrics.items():
        match = _BUCKET.fullmatch(metric)
        rows, scores, _ = scores_of(cell, metric)
        perplexity = aggregate(rule.aggregation, scores) if match else None
        if match and perplexity:
            interval = score_interval(rule.aggregation, scores, rows.clusters)
            logs = (math.log(interval[0]), math.log(interval[1])) if interval and interval[0] > 0 else None
            found[int(match[1])] = Entry(value=math.log(perplexity), rows=len(scores), interval=logs)
    return dict(sorted(found.items()))


def _position_figure(cells: Cells, group: Group, what: str, lines: dict[Checkpoint, dict[int, Entry]]) -> Figure:
    figure, [[axes]] = new_figure(8.2, 4.4)
    places = sorted({place for line in lines.values() for place in line})
    for (one, line), dodge in zip(lines.items(), dodges(len(lines)), strict=True):
        entries = [line.get(place, Entry()) for place in places]
        draw_series(axes, places, entries, series_label(cells, group, one), group.number(one), dodge)
    mark_trained(axes, cells, group, list(lines), places)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, labels=[format_length(place) if place >= 1024 else str(place) for place in places])
    axes.minorticks_off()
    axes.set_xlabel("tokens before the scored one (each point: from here to twice as many)")
    axes.set_ylabel("loss (nats per token; lower is better)")
    bars = "; bars: 95 % intervals" if any(entry.interval for line in lines.values() for entry in line.values()) else ""
    set_title(axes, f"{what}: loss by position", f"(protocol {group.topic.protocol}{bars})")
    add_legend(figure, axes)
    return figure


KINDS = {"lengths": length_pictures, "depth": depth_pictures, "cache": cache_pictures, "positions": position_pictures}
"""What `ropepp-eval plot --kind` may be."""


def draw(cells: Cells, kind: str, options: LayoutOptions) -> list[Picture]:
    """The pictures of one kind.

    Raises:
        UserError: these runs hold nothing that such a picture can show.
    """
    pictures = KINDS[kind](cells, options)
    if not pictures:
        needs = {
            "lengths": "rows with scores (a mean over tasks needs them all, or --partial)",
            "depth": "rows that ask for one fact at a known depth (`depth` in their details)",
            "cache": "the cache size in run.json, and scores at every length (or --partial)",
            "positions": "a task with metrics `perplexity_at_POSITION`",
        }
        raise UserError(f"nothing to draw for --kind {kind}; it needs {needs[kind]}")
    return pictures
