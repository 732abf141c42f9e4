"""Memory and time of a new token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropepp_eval.probes.pictures.common import gathered, legend_below, length_axis, panels, styles_of
from ropepp_eval.reports.style import set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = (("cache_mib", "cache (MiB)"), ("peak_mib", "peak of memory (MiB)"), ("milliseconds", "time of a step (ms)"))
_BELOW = {"peak_mib": ("cache_mib", "cache alone"), "milliseconds": ("floor_milliseconds", "floor")}
"""What is dotted below a column's lines: the part of it that the context decides."""
_LOOKS: dict[str, dict[str, Any]] = {"native": {"linestyle": "-"}, "vllm": {"linestyle": "--", "markerfacecolor": "white"}}


def picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Cache, peak and time against context: one row a batch, one line a checkpoint and engine."""
    batches = sorted({*numbers["batch"]})
    figure, axes = panels(len(_COLUMNS) * len(batches), len(_COLUMNS))
    for row, batch in enumerate(batches):
        own = axes[row * len(_COLUMNS) : (row + 1) * len(_COLUMNS)]
        _row(own, numbers[numbers["batch"] == batch], f", batch {batch}", _COLUMNS)
    legend_below(figure, *gathered(axes))
    return {"cost": figure}


def paper(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Figure 4: memory and time per output token at the largest batch."""
    figure, axes = panels(2, 2, width=4.4, height=3.2)
    batch = max(numbers["batch"])
    _row(axes, numbers[numbers["batch"] == batch], f", batch {batch}", _COLUMNS[1:])
    legend_below(figure, *gathered(axes))
    return {"figure4": figure}


def _row(axes: list[Axes], part: pandas.DataFrame, title: str, columns: tuple[tuple[str, str], ...]) -> None:
    styles = styles_of(list(dict.fromkeys(part["checkpoint"])))
    plain = {*part["engine"]} == {"native"}
    for one, (column, what) in zip(axes, columns, strict=True):
        below, says = _BELOW.get(column, (None, ""))
        for (name, engine), own in part.groupby(["checkpoint", "engine"], sort=False):
            own = own.sort_values("length_tokens")
            style = styles[str(name)] | ({} if plain else _LOOKS[str(engine)])
            one.plot(own["length_tokens"], own[column], label=str(name) if plain else f"{name}, {engine}", **style)
            if below is not None:
                one.plot(own["length_tokens"], own[below], color=style["color"], linestyle=":", linewidth=1.0)
        length_axis(one, sorted({*part["length_tokens"]}))
        one.set_ylim(0, 1.08 * float(part[column].max()))
        one.set_xlabel("context (tokens)")
        set_title(one, what + title + (f" (dotted: {says})" if says else ""))
        one.title.set_fontsize(9)
