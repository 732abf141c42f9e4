"""Pictures of scores: against length, and against the cache's size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.effective_length import EffectiveLength, Limits, effective_lengths
from ropepp_eval.reports.layouts import Group, LayoutOptions, average, groups_of
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.measures import measure_interval
from ropepp_eval.reports.naming import Checkpoint
from ropepp_eval.reports.style import MARKER_SIZE, add_legend, limit_percent, new_figure, series_style, set_title
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


def shown_tasks(group: Group) -> list[tuple[str, tuple[str, ...]]]:
    """What gets a picture of its own: the mean over tasks where there is one, else each task."""
    if group.averages_tasks:
        return [(group.mean_name, group.averaged)]
    return [(task, (task,)) for task in group.tasks]


def value_label(group: Group) -> str:
    """What stands at an axis of values: the metric, its unit, and which way is better."""
    return f"{group.metrics}{group.topic.unit} ({group.topic.better} is better)"


def series_of(group: Group, tasks: Sequence[str], partial: bool) -> dict[Checkpoint, list[Entry]]:
    """By checkpoint, one entry a length of the group."""
    entries = group.entries
    found = {}
    for one in group.checkpoints:
        line = [average([entries.get((task, one, n), Entry()) for task in tasks], partial) for n in group.lengths]
        if any(entry.value is not None for entry in line):
            found[one] = line
    return found


def length_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Score against context length with 95 % intervals: one line a checkpoint, its trained length marked.

    Tasks that take no length have no such picture.
    """
    pictures = []
    held = lengths_found(cells, options)
    for group in groups_of(cells, options):
        if group.topic.benchmark == LM_EVAL:
            continue
        for what, tasks in shown_tasks(group):
            series = series_of(group, tasks, options.partial)
            if series:
                figure = _length_figure(cells, group, what, series, held_lengths(held, group, tasks))
                pictures.append(Picture(file_name("lengths", group.topic.protocol, group.topic.benchmark, what), figure))
    return pictures


def lengths_found(cells: Cells, options: LayoutOptions) -> list[EffectiveLength]:
    """Effective lengths by both rules; none where nothing has one."""
    try:
        return effective_lengths(cells, options, Limits())
    except UserError:  # one length, or no score in percent
        return []


def held_lengths(found: Sequence[EffectiveLength], group: Group, tasks: Sequence[str]) -> dict[Checkpoint, int]:
    """In tokens, the effective length by the margin of each checkpoint that has one on these tasks."""
    own = [one for one in found if one.rule == "margin" and one.group.topic == group.topic and {*one.tasks} == {*tasks}]
    return {one.checkpoint: one.tokens(one.holds) for one in own if one.holds}


def _length_figure(
    cells: Cells, group: Group, what: str, series: dict[Checkpoint, list[Entry]], held: dict[Checkpoint, int]
) -> Figure:
    figure, [[axes]] = new_figure(8.2, 4.4)
    places = axis_places(group.lengths)
    for (one, line), dodge in zip(series.items(), dodges(len(series)), strict=True):
        draw_series(axes, places, line, series_label(cells, group, one), group.number(one), dodge)
        if one in held:
            at = group.lengths.index(held[one])
            ring = series_style(group.number(one)) | {"marker": "o", "markersize": 2 * MARKER_SIZE, "fillstyle": "none"}
            draw_series(axes, places[at : at + 1], [replace(line[at], measure=(), interval=None)], "_ring", 0, dodge, ring)
    mark_trained(axes, cells, group, list(series), places)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, labels=[group.length(length) for length in group.lengths])
    axes.minorticks_off()
    axes.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    _limit_values(axes, group)
    axes.set_xlabel("context length (tokens, 1k = 1,024)")
    axes.set_ylabel(value_label(group))
    bars = "; bars: 95 % intervals" if any(measure_interval(e.measure) for line in series.values() for e in line) else ""
    rings = "; ring: effective length" if held else ""
    set_title(axes, f"{group.topic.benchmark}, {what}, by context length", f"(protocol {group.topic.protocol}{bars}{rings})")
    add_legend(figure, axes)
    return figure


def axis_places(lengths: Sequence[int]) -> list[float]:
    """Where lengths stand on a logarithmic axis: at their tokens; 0k (facts alone) one step before the shortest other one."""
    shortest = min((length for length in lengths if length), default=1024)
    return [float(length or shortest / 2) for length in lengths]


def _limit_values(axes: Axes, group: Group) -> None:
    """Percent from 0 on; other values as matplotlib chooses."""
    if group.topic.aggregation == "mean" and group.topic.scale == 100:
        limit_percent(axes, axes.dataLim.y1)


def series_label(cells: Cells, group: Group, one: Checkpoint) -> str:
    """The checkpoint's label; with its trained length where the checkpoints of these runs differ in it."""
    trained = trained_lengths(cells, group)
    same = len({trained.get(other) for other in group.labels}) == 1
    return group.labels[one] + ("" if same or one not in trained else f" (trained at {format_length(trained[one])})")


def trained_lengths(cells: Cells, group: Group) -> dict[Checkpoint, int]:
    """In tokens, of all checkpoints of the runs whose run recorded it."""
    found = {one: recorded_number(cells, one, "max_position_embeddings") for one in group.labels}
    return {one: int(length) for one, length in found.items() if length}


def dodges(series: int) -> list[float]:
    """How far each of `series` lines is drawn to the right of its places, in points: all within the width of one marker."""
    step = MARKER_SIZE / max(3, series - 1)
    return [step * (place - (series - 1) / 2) for place in range(series)]


def draw_series(
    axes: Axes,
    places: Sequence[float],
    line: Sequence[Entry],
    label: str,
    number: int,
    dodge: float = 0.0,
    look: Mapping[str, Any] | None = None,
) -> None:
    """One checkpoint's points with their intervals: those the entries hold, else those of the cells behind them."""
    from matplotlib.transforms import ScaledTranslation

    style = dict(look or series_style(number)) | ({"linestyle": "none"} if len(line) == 1 else {})
    values = [math.nan if entry.value is None else entry.value for entry in line]  # a missing value breaks the line
    shifted = axes.transData + ScaledTranslation(dodge / 72, 0, axes.figure.dpi_scale_trans)
    drawn = axes.plot(places, values, label=label, **style)
    for place, entry in zip(places, line, strict=True):
        interval = entry.interval or measure_interval(entry.measure)
        if interval is not None:
            drawn += axes.plot([place, place], interval, color=style["color"], linewidth=0.9, alpha=0.7)
    for line_drawn in drawn:  # after it is plotted, so that limits are those of the data
        line_drawn.set_transform(shifted)


def mark_trained(axes: Axes, cells: Cells, group: Group, checkpoints: Sequence[Checkpoint], places: Sequence[float]) -> None:
    """A vertical line at each trained length that lies on the axis; one that all have in common is named in the legend."""
    trained = trained_lengths(cells, group)
    lengths = sorted({trained[one] for one in checkpoints if one in trained})
    common = len({trained.get(one) for one in group.labels}) == 1
    length_name = format_length(lengths[0]) if common and lengths else ""
    drawn = [length for length in lengths if places[0] / 1.4 <= length <= places[-1] * 1.4]
    for number, length in enumerate(drawn):
        label = ("trained length" + (f" ({length_name})" if length_name else "")) if number == 0 else None
        axes.axvline(length, color="#666666", linestyle=(0, (1, 2)), linewidth=1.4, label=label, zorder=0)
    if length_name and not drawn:
        axes.plot([], [], linestyle="none", label=f"trained at {length_name} (off axis)")


def recorded_number(cells: Cells, one: Checkpoint, name: str) -> float | None:
    """A number that the run recorded of a checkpoint; None where it did not."""
    value = cells.checkpoints.get(one, {}).get(name)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def cache_pictures(cells: Cells, options: LayoutOptions) -> list[Picture]:
    """Score against the bytes that a token adds to the KV cache: one point a checkpoint, averaged over lengths and tasks.

    Raises:
        UserError: no run recorded the cache's size.
    """
    pictures = []
    for group in groups_of(cells, options):
        for what, tasks in shown_tasks(group):
            points = cache_points(cells, group, tasks, options.partial)
            if points:
                name = file_name("cache", group.topic.protocol, group.topic.benchmark, what)
                pictures.append(Picture(name, _cache_figure(group, what, points)))
    return pictures


def cache_points(cells: Cells, group: Group, tasks: Sequence[str], partial: bool) -> dict[Checkpoint, tuple[float, Entry]]:
    """By checkpoint: bytes that a token adds to its cache, and its mean over tasks and lengths. Those that have both."""
    points = {
        one: (size, average(line, partial))
        for one, line in series_of(group, tasks, partial).items()
        if (size := recorded_number(cells, one, "kv_bytes_per_token"))
    }
    return {one: point for one, point in points.items() if point[1].value is not None}


def _cache_figure(group: Group, what: str, points: dict[Checkpoint, tuple[float, Entry]]) -> Figure:
    figure, [[axes]] = new_figure(8.2, 4.4)
    largest = max(size for size, _ in points.values())
    for one, (size, entry) in points.items():
        twins = [other for other, (bytes_, _) in points.items() if bytes_ == size]
        shift = 0.022 * largest * (twins.index(one) - (len(twins) - 1) / 2)
        draw_series(axes, [(size + shift) / 1024], [entry], group.labels[one], group.number(one))
    sizes = sorted({size / 1024 for size, _ in points.values()})
    axes.set_xticks(sizes, labels=[f"{size:.4g}" for size in sizes])
    axes.set_xlim(0, largest / 1024 * 1.12)
    _limit_values(axes, group)
    axes.set_xlabel("KV cache (KiB per token, in the weights' dtype; equal sizes stand side by side)")
    axes.set_ylabel(value_label(group))
    over = lengths_averaged(group)
    bars = "; bars: 95 % intervals" if any(measure_interval(entry.measure) for _, entry in points.values()) else ""
    title = f"{group.topic.benchmark}, {what}: score against cache size"
    set_title(axes, title, f"(protocol {group.topic.protocol}; {over}{bars})")
    add_legend(figure, axes)
    return figure


def lengths_averaged(group: Group) -> str:
    """`length 4k`, or over which lengths a mean is."""
    if len(group.lengths) == 1:
        return f"length {group.length(group.lengths[0])}"
    return f"mean over {len(group.lengths)} lengths, {group.length(group.lengths[0])} to {group.length(group.lengths[-1])}"
