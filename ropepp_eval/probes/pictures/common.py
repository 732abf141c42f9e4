"""What pictures of probes share: how roles look, panels, bands."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ropepp_eval.lengths import format_length
from ropepp_eval.reports.style import COLOURS, new_figure, series_style

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES: Mapping[str, dict[str, Any]] = {
    "real": {"color": COLOURS[1], "linestyle": "-", "marker": "o", "markersize": 4, "linewidth": 1.6},
    "imaginary": {"color": COLOURS[2], "linestyle": "--", "marker": "s", "markersize": 4, "linewidth": 1.6},
    "both": {"color": COLOURS[3], "linestyle": "-.", "marker": "^", "markersize": 4, "linewidth": 1.6},
}


def panels(count: int, columns: int, width: float = 3.6, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels; what the grid has more is not drawn."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure, axes = new_figure(width * columns + 0.4, height * rows + 0.5, rows, columns)
    flat = [one for row in axes for one in row]
    for spare in flat[count:]:
        spare.set_visible(False)
    return figure, flat[:count]


def line_with_band(
    axes: Axes, places: Any, part: pandas.DataFrame, label: str, style: Mapping[str, Any], scale: float = 1.0
) -> None:
    """`mean` of `part` over places with its band `low` to `high`, where there is one."""
    axes.plot(places, part["mean"] * scale, label=label, **style)
    low, high = (part[name].astype(float) * scale for name in ("low", "high"))
    axes.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0)


def line_with_bars(
    axes: Axes, places: Any, part: pandas.DataFrame, label: str, style: Mapping[str, Any], scale: float = 1.0
) -> None:
    """`mean` of `part` over places, each with a bar from `low` to `high`, where there is one."""
    axes.plot(places, part["mean"] * scale, label=label, **style)
    for place, low, high in zip(places, part["low"], part["high"], strict=True):
        if low is not None and low == low:
            axes.plot([place, place], [low * scale, high * scale], color=style["color"], linewidth=0.9, alpha=0.8)


def length_axis(axes: Axes, lengths: Sequence[int]) -> None:
    """A logarithmic axis of lengths, each written as `4k`; every second one where there are many."""
    axes.set_xscale("log", base=2)
    shown = list(lengths) if len(lengths) <= 6 else list(lengths)[::2]
    axes.set_xticks(shown, labels=[format_length(length) if length >= 1024 else str(length) for length in shown])
    axes.minorticks_off()


def positions_axis(axes: Axes, longest: float, shortest: float = 1.0) -> None:
    """A logarithmic axis of tokens, marked at every fourth power of two or so."""
    axes.set_xscale("log", base=2)
    steps = [2**n for n in range(math.ceil(math.log2(shortest)), math.floor(math.log2(longest)) + 1)]
    shown = steps[:: max(1, math.ceil(len(steps) / 6))]
    axes.set_xticks(shown, labels=[format_length(step) if step >= 1024 else str(step) for step in shown])
    axes.minorticks_off()


def styles_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour, marker and line for each checkpoint."""
    return {name: series_style(number) | {"markersize": 4, "linewidth": 1.4} for number, name in enumerate(names)}


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend for all panels, under them; each name once, in as many columns as the figure is wide for."""
    once = dict(zip(labels, handles, strict=True))
    columns = max(1, int(figure.get_figwidth() / (0.7 + 0.085 * max(map(len, once), default=1))))
    rows = math.ceil(len(once) / columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(
        [*once.values()], [*once], loc="outside lower center", ncols=columns, frameon=False, handlelength=3.4, fontsize=9
    )


def headline(figure: Figure, text: str) -> None:
    """A title over all panels, in as many lines as the figure's width asks for."""
    figure.suptitle("\n".join(textwrap.wrap(text, max(30, int(11.5 * figure.get_figwidth())))), fontsize=11)


def gathered(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and labels of all panels."""
    found = [one.get_legend_handles_labels() for one in axes]
    return [handle for handles, _ in found for handle in handles], [label for _, labels in found for label in labels]
