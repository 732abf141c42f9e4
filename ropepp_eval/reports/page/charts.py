"""What the charts show: score against length, loss by position, cache against score, and depth maps."""

from __future__ import annotations

from collections.abc import Sequence

from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.depth_maps import Found, depths_by_task
from ropepp_eval.reports.depths import box_name
from ropepp_eval.reports.effective_length import EffectiveLength
from ropepp_eval.reports.layouts import Group, LayoutOptions, groups_of
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.measures import measure_interval
from ropepp_eval.reports.naming import Checkpoint
from ropepp_eval.reports.page.parts import Chart, ChartLine, DepthMap, Depths, Point
from ropepp_eval.reports.pictures import losses_of
from ropepp_eval.reports.plots import (
    axis_places,
    cache_points,
    held_lengths,
    lengths_averaged,
    series_of,
    trained_lengths,
    value_label,
)
from ropepp_eval.reports.table import Entry, Show, detail_text, number_text

Series = Sequence[tuple[Checkpoint, Sequence[tuple[float, Entry]]]]


def charts_of(cells: Cells, options: LayoutOptions, held: Sequence[EffectiveLength]) -> tuple[Chart, ...]:
    """Every chart, those of one kind after each other; a mean over tasks before its tasks. `held`: the effective lengths found."""
    groups = groups_of(cells, options)
    lengths = [chart for group in groups for chart in _length_charts(cells, group, options, held)]
    positions = [chart for group in groups for chart in _position_charts(cells, group)]
    return (*lengths, *positions, *(chart for group in groups for chart in _cache_charts(cells, group, options)))


def depths_of_page(cells: Cells, options: LayoutOptions) -> tuple[Depths, ...]:
    """Depth maps of every task whose rows ask for one fact at a known depth."""
    return tuple(
        _depths(group, task, found) for group in groups_of(cells, options) for task, found in depths_by_task(group).items()
    )


def _shown(group: Group) -> list[tuple[str, tuple[str, ...], bool]]:
    """Name, tasks, and whether it is a mean."""
    mean = [(group.mean_name, group.averaged, True)] if group.averages_tasks else []
    return [*mean, *((task, (task,), False) for task in group.tasks)]


def _length_charts(cells: Cells, group: Group, options: LayoutOptions, held: Sequence[EffectiveLength]) -> list[Chart]:
    if group.topic.benchmark == LM_EVAL:
        return []
    places = axis_places(group.lengths)
    charts = []
    for name, tasks, mean in _shown(group):
        found = series_of(group, tasks, options.partial)
        series = [(one, list(zip(places, line, strict=True))) for one, line in found.items()]
        rings = {one: places[group.lengths.index(n)] for one, n in held_lengths(held, group, tasks).items()}
        ticks = tuple(zip(places, map(group.length, group.lengths), strict=True))
        charts.append(
            _chart(
                cells, group, series, rings, kind="lengths", name=name, mean=mean, ticks=ticks, logarithmic=True,
                title=f"{group.topic.benchmark}, {name}: score by context length",
                x_label="context length (tokens, 1k = 1,024)", y_label=value_label(group),
                notes=group.mean_notes() if mean else (),
            )
        )  # fmt: skip
    return [chart for chart in charts if chart.lines]


def _position_charts(cells: Cells, group: Group) -> list[Chart]:
    charts = []
    for (task, length), lines in losses_of(group).items():
        series = [(one, [(float(place), entry) for place, entry in line.items()]) for one, line in lines.items()]
        places = sorted({place for line in lines.values() for place in line})
        ticks = tuple((float(place), format_length(place) if place >= 1024 else str(place)) for place in places)
        charts.append(
            _chart(
                cells, group, series, {}, kind="positions", name=f"{task} at {format_length(length)}", mean=False, ticks=ticks,
                logarithmic=True, title=f"{task} at {format_length(length)}: loss by position",
                x_label="tokens before the scored one (each point: from here to twice as many)",
                y_label="loss (nats per token; lower is better)", decimals=3,
            )
        )  # fmt: skip
    return charts


def _cache_charts(cells: Cells, group: Group, options: LayoutOptions) -> list[Chart]:
    charts = []
    for name, tasks, mean in _shown(group):
        points = cache_points(cells, group, tasks, options.partial)
        sizes = sorted({size / 1024 for size, _ in points.values()})
        charts.append(
            _chart(
                cells, group, [(one, [(size / 1024, entry)]) for one, (size, entry) in points.items()], {},
                kind="cache", name=name, mean=mean, ticks=tuple((size, f"{size:.4g}") for size in sizes), logarithmic=False,
                title=f"{group.topic.benchmark}, {name}: score against cache size ({lengths_averaged(group)})",
                x_label="KV cache (KiB per token, in the weights' dtype)", y_label=value_label(group),
                notes=group.mean_notes() if mean else (),
            )
        )  # fmt: skip
    return [chart for chart in charts if chart.lines]


def _chart(
    cells: Cells, group: Group, series: Series, rings: dict[Checkpoint, float], *, kind: str, name: str, mean: bool, title: str,
    x_label: str, y_label: str, ticks: tuple[tuple[float, str], ...], logarithmic: bool, notes: Sequence[str] = (),
    decimals: int | None = None,
) -> Chart:  # fmt: skip
    topic = group.topic
    lines = tuple(
        ChartLine(group.number(one), tuple(point_of(x, entry, decimals) for x, entry in line), rings.get(one))
        for one, line in series
    )
    trained = sorted({length for one, length in trained_lengths(cells, group).items() if one in dict(series)})
    marks = () if kind == "cache" else tuple((float(length), f"trained at {format_length(length)}") for length in trained)
    return Chart(
        kind=kind, group=inert(f"{topic.benchmark}, {group.metrics}, protocol {topic.protocol}"), name=inert(name), mean=mean,
        title=inert(f"{title} (protocol {topic.protocol})"), x_label=x_label, y_label=inert(y_label), logarithmic=logarithmic,
        percent=topic.aggregation == "mean" and topic.scale == 100, ticks=ticks, marks=marks, lines=lines,
        notes=tuple(map(inert, notes)),
    )  # fmt: skip


def point_of(x: float, entry: Entry, decimals: int | None = None) -> Point:
    """One value with its interval: that which the entry holds, else that of the cells behind it."""
    digits = entry.decimals if decimals is None else decimals
    low, high = (
        number_text(Entry(end, digits)) for end in entry.interval or measure_interval(entry.measure) or (None, None)
    )
    notes = [detail_text(entry, Show())] if entry.value is not None else []
    notes += [f"{entry.failed} failed"] if entry.failed else []
    notes += [f"{entry.cut} with a cut prompt"] if entry.cut else []
    notes += ["generated text in place of a real corpus"] if entry.stand_in else []
    text = number_text(Entry(entry.value, digits))
    return Point(x, text, low if text else "", high if text else "", entry.rows, "; ".join(filter(None, notes)))


def _depths(group: Group, task: str, found: Found) -> Depths:
    topic = group.topic
    lengths = sorted({length for _, length in found})
    parts = len(next(iter(found.values()))[0].boxes)
    maps = tuple(
        DepthMap(group.number(one), tuple(tuple(_box(group, found, one, n, box) for n in lengths) for box in range(parts)))
        for one in group.checkpoints
        if any(key[0] == one for key in found)
    )
    title = f"{task} by depth of the fact and context length: {group.metrics}{topic.unit} (protocol {topic.protocol})"
    percent = topic.aggregation == "mean" and topic.scale == 100
    names = tuple(box_name(box, parts) for box in range(parts))
    return Depths(inert(task), inert(title), percent, names, tuple(map(format_length, lengths)), maps)


def _box(group: Group, found: Found, one: Checkpoint, length: int, box: int) -> tuple[str, int]:
    """Printed value and rows of one part of the context; empty where nothing was asked there."""
    if (one, length) not in found:
        return "", 0
    scores, scale = found[one, length]
    value = scores.value(box, group.topic.aggregation)
    decimals = 0 if scale == 100 else 2  # a box holds too few rows for more
    return number_text(Entry(None if value is None else scale * value, decimals)), len(scores.boxes[box])
