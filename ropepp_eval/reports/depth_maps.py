"""Pictures of scores by needle depth and context length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.depths import DepthScores, box_name, boxes_for, depth_scores
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of
from ropepp_eval.reports.plots import Picture, file_name, trained_lengths, value_label
from ropepp_eval.reports.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Found = Mapping[tuple[Checkpoint, int], tuple[DepthScores, float]]
"""By checkpoint and length: scores by depth, and the scale they are shown in."""
MOST_COLUMNS, MOST_PANELS = 18, 4
"""Lengths of all panels that stand side by side, and these panels."""
BOX_INCHES, CHARACTER_INCHES = 0.34, 0.085
"""Room of one box, and of one character of a panel's title: small enough that a page of 800 pixels can be read."""


def depth_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Needle depth x length heat maps, one a task, one panel a checkpoint, with the number of rows in each box."""
    pictures = []
    for group in groups_of(cells, options):
        for task, found in depths_by_task(group).items():
            name = file_name("depth", group.topic.protocol, task)
            pictures.append(Picture(name, _figure(cells, group, task, found)))
    return pictures


def depths_by_task(group: Group) -> dict[str, Found]:
    """Tasks whose rows ask for one fact at a known depth, with their scores by depth."""
    by_task: dict[str, Found] = {}
    for task in group.tasks:
        members = [(cell, metric) for cell, metric in group.members if cell.name.task == task]
        parts = boxes_for(cell for cell, _ in members)
        found = {
            (checkpoint_of(cell), cell.name.length_tokens): (depth_scores(cell, metric, parts), cell.metrics[metric].scale)
            for cell, metric in members
        }
        if any(any(scores.boxes) for scores, _ in found.values()):
            by_task[task] = found
    return by_task


@dataclass(frozen=True)
class Boxes:
    """Values and numbers of rows, [checkpoints, depths, lengths]."""

    values: NDArray[np.float64]
    """As shown; NaN where there is no row."""
    counts: NDArray[np.int64]
    limits: tuple[float, float]
    """Ends of the colour scale."""


def _boxes(group: Group, checkpoints: Sequence[Checkpoint], lengths: Sequence[int], found: Found) -> Boxes:
    parts = len(next(iter(found.values()))[0].boxes)
    values = np.full((len(checkpoints), parts, len(lengths)), math.nan)
    counts = np.zeros(values.shape, dtype=np.int64)
    for (one, length), (scores, scale) in found.items():
        for box, members in enumerate(scores.boxes):
            value = scores.value(box, group.topic.aggregation)
            place = checkpoints.index(one), box, lengths.index(length)
            counts[place] = len(members)
            values[place] = math.nan if value is None else scale * value
    if group.topic.aggregation == "mean":
        return Boxes(values, counts, (0.0, group.topic.scale))
    return Boxes(values, counts, (float(np.nanmin(values)), float(np.nanmax(values))))


def _figure(cells: Cells, group: Group, task: str, found: Found) -> Figure:
    checkpoints = [one for one in group.checkpoints if any(key[0] == one for key in found)]
    lengths = sorted({length for _, length in found})
    boxes = _boxes(group, checkpoints, lengths, found)
    parts = boxes.values.shape[1]
    across = min(len(checkpoints), max(1, MOST_COLUMNS // len(lengths)), MOST_PANELS)
    down = math.ceil(len(checkpoints) / across)
    wide = max(0.3 + BOX_INCHES * len(lengths), 1.5)
    titles = [_title(cells, group, one, int(wide / CHARACTER_INCHES)) for one in checkpoints]
    high = 0.4 + 0.17 * max(title.count("\n") for title in titles) + BOX_INCHES * max(parts, 2)
    figure, grid = new_figure(max(5.6, across * wide + 1.9), max(down * high + 0.9, 3.8), down, across)
    panels = [axes for row in grid for axes in row]
    images = [_panel(axes, boxes, i, lengths) for i, axes in enumerate(panels[: len(checkpoints)])]
    for i, axes in enumerate(panels):
        if i >= len(checkpoints):
            axes.set_axis_off()
            continue
        axes.set_title(titles[i], fontsize=9)
        axes.set_yticks(range(parts), labels=[box_name(box, parts) if i % across == 0 else "" for box in range(parts)])
    figure.supxlabel("context length (tokens, 1k = 1,024)", fontsize=10)
    figure.supylabel("depth of the fact (0 % = beginning of the context)", fontsize=9)
    what = f"(protocol {inert(group.topic.protocol)}; n: rows in the box; blank: none asks there)"
    figure.suptitle(f"{inert(task)} by depth and context length\n{what}", fontsize=11)
    bar = figure.colorbar(images[0], ax=panels, shrink=0.9, aspect=35)
    bar.set_label(value_label(group), fontsize=9)
    return figure


def _title(cells: Cells, group: Group, one: Checkpoint, width: int) -> str:
    """A panel's label on lines of `width` characters, and below it the checkpoint's trained length."""
    label = group.labels[one]
    lines = [label[start : start + width] for start in range(0, len(label), width)]
    trained = trained_lengths(cells, group)
    return "\n".join([*lines, *([f"trained at {format_length(trained[one])}"] if one in trained else [])])


def _panel(axes: Axes, boxes: Boxes, number: int, lengths: Sequence[int]) -> AxesImage:
    """The map of one checkpoint, with value and number of rows in each box."""
    low, high = boxes.limits
    parts = boxes.values.shape[1]
    image = axes.imshow(boxes.values[number], cmap="cividis", vmin=low, vmax=high, aspect="auto")
    for (row, column), count in np.ndenumerate(boxes.counts[number]):
        value = boxes.values[number, row, column]
        colour = "white" if value < (low + high) / 2 else "black"  # cividis grows lighter with the value
        if count:
            axes.text(column, row, f"{value:.0f}\nn {count}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(lengths)), labels=[format_length(length) for length in lengths])
    axes.tick_params(labelsize=8, length=2)
    axes.grid(False)
    axes.hlines([box + 0.5 for box in range(parts - 1)], -0.5, len(lengths) - 0.5, color="white", linewidth=1)
    axes.vlines([place + 0.5 for place in range(len(lengths) - 1)], -0.5, parts - 0.5, color="white", linewidth=1)
    return image
