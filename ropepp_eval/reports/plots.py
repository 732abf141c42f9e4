"""Pictures of scores: against length, against depth and length, and against the cache's size."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropepp_eval.lengths import format_length
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.depths import BOXES, DepthScores, box_name, depth_scores
from ropepp_eval.reports.layouts import Checkpoint, Group, LayoutOptions, average, checkpoint_of, groups_of
from ropepp_eval.reports.measures import measure_interval
from ropepp_eval.reports.style import new_figure, series_style
from ropepp_eval.reports.table import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure and the name of its file, without ending."""

    name: str
    figure: Figure


def file_name(*parts: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-") for part in parts)


def _shown(group: Group) -> list[tuple[str, tuple[str, ...]]]:
    """What gets a picture of its own: the mean over tasks where there is one, else each task."""
    if group.averages_tasks:
        return [(f"mean of {len(group.tasks)} tasks", tuple(group.tasks))]
    return [(task, (task,)) for task in group.tasks]


def _value_label(group: Group) -> str:
    return f"{group.metrics}{group.topic.unit} ({group.topic.better} is better)"


def _series(group: Group, tasks: Sequence[str], partial: bool) -> dict[Checkpoint, list[Entry]]:
    """By checkpoint, one entry a length of the group."""
    entries = group.entries()
    found = {}
    for one in group.checkpoints:
        line = [average([entries.get((task, one, n), Entry()) for task in tasks], partial) for n in group.lengths]
        if any(entry.value is not None for entry in line):
            found[one] = line
    return found


def length_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Score against context length with 95 % intervals: one line a checkpoint, its trained length marked."""
    pictures = []
    for group in groups_of(cells, options):
        for what, tasks in _shown(group):
            series = _series(group, tasks, options.partial)
            if series:
                figure = _length_figure(cells, group, what, series)
                pictures.append(Picture(file_name("lengths", group.topic.protocol, group.topic.benchmark, what), figure))
    return pictures


def _length_figure(cells: Cells, group: Group, what: str, series: dict[Checkpoint, list[Entry]]) -> Figure:
    figure, [[axes]] = new_figure(8.2, 4.4)
    places = axis_places(group.lengths)
    step = 0.03 * max(1.0, math.log2(places[-1] / places[0]))  # shifts points apart so that bars stay visible
    step = min(step, 0.5 / max(1, len(series) - 1))
    for number, (one, line) in enumerate(series.items()):
        shift = 2 ** (step * (number - (len(series) - 1) / 2))
        draw_series(axes, [place * shift for place in places], line, series_label(cells, group, one), number)
    mark_trained(axes, cells, list(series), places)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, labels=[format_length(length) for length in group.lengths])
    axes.minorticks_off()
    axes.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    if group.topic.aggregation == "mean" and group.topic.scale == 100:
        axes.set_ylim(-3, 103)
    axes.set_xlabel("context length (tokens, 1k = 1,024)")
    axes.set_ylabel(_value_label(group))
    bars = "; bars: 95 % intervals" if any(measure_interval(e.measure) for line in series.values() for e in line) else ""
    axes.set_title(f"{group.topic.benchmark}, {what}, by context length\n(protocol {group.topic.protocol}{bars})")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def axis_places(lengths: Sequence[int]) -> list[float]:
    """Where lengths stand on a logarithmic axis: at their tokens; 0k (facts alone) one step before the shortest other one."""
    shortest = min((length for length in lengths if length), default=1024)
    return [float(length or shortest / 2) for length in lengths]


def series_label(cells: Cells, group: Group, one: Checkpoint) -> str:
    """The checkpoint's label with its trained length, which may lie off the axis."""
    trained = _fact(cells, one, "max_position_embeddings")
    return group.labels[one] + (f" (trained at {format_length(int(trained))})" if trained else "")


def draw_series(axes: Axes, places: Sequence[float], line: Sequence[Entry], label: str, number: int) -> None:
    """One checkpoint's points with their intervals: those the entries hold, else those of the cells behind them."""
    style = series_style(number) | ({"linestyle": "none"} if len(line) == 1 else {})
    values = [math.nan if entry.value is None else entry.value for entry in line]  # a missing value breaks the line
    axes.plot(places, values, label=label, **style)
    for place, entry in zip(places, line, strict=True):
        interval = entry.interval or measure_interval(entry.measure)
        if interval is not None:
            axes.plot([place, place], interval, color=style["color"], linewidth=1.2, marker="_", markersize=5)


def mark_trained(axes: Axes, cells: Cells, checkpoints: Sequence[Checkpoint], lengths: Sequence[float]) -> None:
    """A vertical line at each trained length that lies on the axis."""
    trained = {int(length) for one in checkpoints if (length := _fact(cells, one, "max_position_embeddings"))}
    for number, length in enumerate(sorted(trained)):
        if lengths[0] / 1.4 <= length <= lengths[-1] * 1.4:
            label = "trained length" if number == 0 else None
            axes.axvline(length, color="#666666", linestyle=(0, (1, 2)), linewidth=1.4, label=label, zorder=0)


def _fact(cells: Cells, one: Checkpoint, name: str) -> float | None:
    """A number that the run recorded of a checkpoint; None where it did not."""
    value = cells.checkpoints.get(one[:2], {}).get(name)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def depth_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Needle depth x length heat maps, one a task, one panel a checkpoint, with the number of rows in each box."""
    pictures = []
    for group in groups_of(cells, options):
        for task in group.tasks:
            found = {
                (checkpoint_of(cell), cell.name.length_tokens): (depth_scores(cell, metric), cell.metrics[metric].scale)
                for cell, metric in group.members
                if cell.name.task == task
            }
            if any(any(scores.boxes) for scores, _ in found.values()):
                figure = _depth_figure(group, task, found)
                pictures.append(Picture(file_name("depth", group.topic.protocol, task), figure))
    return pictures


def _depth_figure(group: Group, task: str, found: dict[tuple[Checkpoint, int], tuple[DepthScores, float]]) -> Figure:
    import numpy as np

    checkpoints = [one for one in group.checkpoints if any(key[0] == one for key in found)]
    lengths = sorted({length for _, length in found})
    across = min(len(checkpoints), max(1, 18 // len(lengths)), 4)
    down = math.ceil(len(checkpoints) / across)
    figure, grid = new_figure(max(5.6, across * (1.0 + 0.72 * len(lengths)) + 1.4), down * 4.6 + 0.6, down, across)
    panels = [axes for row in grid for axes in row]
    values = np.full((len(checkpoints), BOXES, len(lengths)), math.nan)
    counts = np.zeros(values.shape, dtype=int)
    for (one, length), (scores, scale) in found.items():
        for box, members in enumerate(scores.boxes):
            value = scores.value(box, group.topic.aggregation)
            place = checkpoints.index(one), box, lengths.index(length)
            counts[place] = len(members)
            values[place] = math.nan if value is None else scale * value
    low, high = (0.0, group.topic.scale) if group.topic.aggregation == "mean" else (np.nanmin(values), np.nanmax(values))
    image = None
    for panel, (axes, one) in enumerate(zip(panels, checkpoints, strict=False)):
        image = axes.imshow(values[panel], cmap="cividis", vmin=low, vmax=high, aspect="auto")
        _label_boxes(axes, values[panel].tolist(), counts[panel].tolist(), (low + high) / 2)
        axes.set_xticks(range(len(lengths)), labels=[format_length(length) for length in lengths])
        axes.set_yticks(range(BOXES), labels=[box_name(box) for box in range(BOXES)])
        axes.grid(False)
        axes.hlines([box + 0.5 for box in range(BOXES - 1)], -0.5, len(lengths) - 0.5, color="white", linewidth=1)
        axes.vlines([place + 0.5 for place in range(len(lengths) - 1)], -0.5, BOXES - 0.5, color="white", linewidth=1)
        axes.set_title(group.labels[one])
    for axes in panels[len(checkpoints) :]:
        axes.set_axis_off()
    figure.supxlabel("context length (tokens, 1k = 1,024)", fontsize=10)
    figure.supylabel("depth of the fact (0 % = beginning of the context)", fontsize=10)
    figure.suptitle(
        f"{task} by depth and context length\n(protocol {group.topic.protocol}; n: rows in the box)", fontsize=11
    )
    if image is not None:
        figure.colorbar(image, ax=panels, label=_value_label(group), shrink=0.9, aspect=35)
    return figure


def _label_boxes(axes: Axes, values: Sequence[Sequence[float]], counts: Sequence[Sequence[int]], middle: float) -> None:
    for row, (line, numbers) in enumerate(zip(values, counts, strict=True)):
        for column, (value, count) in enumerate(zip(line, numbers, strict=True)):
            colour = "white" if value < middle else "black"  # cividis grows lighter with the value
            text = f"{value:.0f}\nn {count}" if count else "n 0"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def cache_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Score against the bytes that a token adds to the KV cache: one point a checkpoint, averaged over lengths and tasks.

    Raises:
        UserError: no run recorded the cache's size.
    """
    pictures = []
    for group in groups_of(cells, options):
        for what, tasks in _shown(group):
            points = {
                one: (size, average(line, options.partial))
                for one, line in _series(group, tasks, options.partial).items()
                if (size := _fact(cells, one, "kv_bytes_per_token"))
            }
            points = {one: point for one, point in points.items() if point[1].value is not None}
            if points:
                name = file_name("cache", group.topic.protocol, group.topic.benchmark, what)
                pictures.append(Picture(name, _cache_figure(group, what, points)))
    return pictures


def _cache_figure(group: Group, what: str, points: dict[Checkpoint, tuple[float, Entry]]) -> Figure:
    figure, [[axes]] = new_figure(8.2, 4.4)
    for number, (one, (size, entry)) in enumerate(points.items()):
        twins = [other for other, (bytes_, _) in points.items() if bytes_ == size]
        shift = 1 + 0.012 * (twins.index(one) - (len(twins) - 1) / 2)  # equal caches stand side by side
        draw_series(axes, [size * shift / 1024], [entry], group.labels[one], number)
    sizes = sorted({size / 1024 for size, _ in points.values()})
    axes.set_xticks(sizes, labels=[f"{size:.4g}" for size in sizes])
    axes.set_xlim(0, max(sizes) * 1.12)
    axes.set_xlabel("KV cache (KiB per token, in the weights' dtype)")
    axes.set_ylabel(_value_label(group))
    lengths = ", ".join(format_length(length) for length in group.lengths)
    axes.set_title(f"{group.topic.benchmark}, {what}: score against cache size\n(mean over {lengths}; bars: 95 % intervals)")
    figure.legend(loc="outside right upper", frameon=False)
    return figure
