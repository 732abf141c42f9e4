"""Where heads look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ropepp_eval.lengths import format_length
from ropepp_eval.probes.pictures.common import (
    gathered,
    headline,
    legend_below,
    length_axis,
    line_with_bars,
    panels,
    styles_of,
)
from ropepp_eval.reports.style import set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURES = {
    "needle": ("weight on the needle (%)", 100.0), "first": ("weight on the first 4 tokens (%)", 100.0), "last": ("weight on the last 128 tokens (%)", 100.0),
    "distance": ("mean distance (tokens)", 1.0), "entropy": ("entropy (nats)", 1.0), "retrieval": ("answer tokens copied (%)", 100.0),
}  # fmt: skip


def picture(numbers: pandas.DataFrame, records: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """By role against length; the needle by depth; which heads retrieve; the maps."""
    figures = {"attention": _by_length(numbers), "attention-heads": _heads(numbers)}
    if numbers["part"].str.startswith("depth").any():
        figures["attention-depth"] = _by_depth(numbers)
    kept = [record for record in records if record["details"].get("maps")]
    if kept:
        figures["attention-maps"] = maps_figure(_longest(kept))
    return figures


def _longest(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each checkpoint the record of its longest length that has maps."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in sorted(records, key=lambda record: record["length_tokens"]):
        found[record["checkpoint"]] = record
    return [found[name] for name in dict.fromkeys(record["checkpoint"] for record in records)]


def _series(numbers: pandas.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """A look for each (checkpoint, role): colour by checkpoint; imaginary ones dashed and hollow."""
    names = list(dict.fromkeys(numbers["checkpoint"]))
    styles = styles_of(names)
    looks = {}
    for name in names:
        looks[name, "real"] = styles[name] | {"linestyle": "-"}
        looks[name, "imaginary"] = styles[name] | {"linestyle": "--", "markerfacecolor": "white"}
    return looks


def _by_length(numbers: pandas.DataFrame) -> Figure:
    part = numbers[numbers["part"] == "all"]
    looks = _series(part)
    figure, axes = panels(len(_MEASURES), 3, height=2.7)
    for one, (measure, (what, scale)) in zip(axes, _MEASURES.items(), strict=True):
        for (name, role), own in part[part["measure"] == measure].groupby(["checkpoint", "role"], sort=False):
            own = own.sort_values("length_tokens")
            line_with_bars(one, own["length_tokens"], own, f"{name}, {role}", looks[str(name), str(role)], scale)
        length_axis(one, sorted({*part["length_tokens"]}))
        set_title(one, what)
        one.title.set_fontsize(10)
    for one in axes[-3:]:
        one.set_xlabel("context length (tokens)")
    legend_below(figure, *gathered(axes))
    return figure


def _by_depth(numbers: pandas.DataFrame) -> Figure:
    part = numbers[numbers["part"].str.startswith("depth") & (numbers["measure"] == "needle")]
    lengths = sorted({*part["length_tokens"]})
    looks = _series(numbers)
    figure, axes = panels(len(lengths), 3)
    for one, length in zip(axes, lengths, strict=True):
        for (name, role), own in part[part["length_tokens"] == length].groupby(["checkpoint", "role"], sort=False):
            places = [10 + int(re.findall(r"\d+", text)[0]) for text in own["part"]]
            order = np.argsort(places)
            line_with_bars(
                one, np.array(places)[order], own.iloc[order], f"{name}, {role}", looks[str(name), str(role)], 100.0
            )
        one.set_xlim(0, 100)
        one.set_xlabel("depth of the needle (%)")
        set_title(one, f"at {format_length(int(length))}")
    axes[0].set_ylabel("weight on the needle (%)")
    legend_below(figure, *gathered(axes))
    return figure


def _heads(numbers: pandas.DataFrame) -> Figure:
    part = numbers[numbers["part"].str.startswith("head ")]
    part = part[part["length_tokens"] == part["length_tokens"].min()]
    names = list(dict.fromkeys(part["checkpoint"]))
    figure, axes = panels(len(names), 4, width=3.0, height=2.4)
    image: Any = None
    for one, name in zip(axes, names, strict=True):
        own = part[part["checkpoint"] == name]
        places = [tuple(map(int, re.findall(r"\d+", text))) for text in own["part"]]
        grid = np.full((max(layer for layer, _ in places) + 1, max(head for _, head in places) + 1), np.nan)
        roles = {head: str(role) for (_, head), role in zip(places, own["role"], strict=True)}
        for (layer, head), value in zip(places, own["mean"], strict=True):
            grid[layer, head] = 100 * value
        image = one.imshow(grid, vmin=0, vmax=100, cmap="viridis", aspect="auto")
        one.set_xticks(
            range(grid.shape[1]),
            labels=[f"{head}{'i' if roles[head] == 'imaginary' else ''}" for head in range(grid.shape[1])],
            fontsize=8,
        )
        one.set_yticks(range(grid.shape[0]))
        one.grid(visible=False)
        set_title(one, name)
        one.set_xlabel("head (i: imaginary)")
    axes[0].set_ylabel("layer")
    length = format_length(int(part["length_tokens"].iloc[0]))
    figure.colorbar(image, ax=axes, label="answer tokens copied (%)", shrink=0.8)
    headline(
        figure, f"Heads that retrieve, at {length}: answer tokens that stand where the head looks most, inside the needle"
    )
    return figure


def maps_figure(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Block means of the kept heads, those of a checkpoint side by side; the needle's keys are framed."""
    kept = [(record, head) for record in records for head in record["details"]["maps"]]
    figure, axes = panels(len(kept), 4, width=3.2, height=2.9)
    for one, (record, head) in zip(axes, kept, strict=True):
        image = draw_map(one, head, record)
    weight_bar(figure, image, axes)
    return figure


def weight_bar(figure: Figure, image: Any, axes: Sequence[Axes]) -> None:
    """What the colours of maps mean; plain numbers, since no text of ours is read as mathematics."""
    bar = figure.colorbar(
        image, ax=list(axes), shrink=0.7, aspect=30, label="mean weight of a block", format=lambda value, _: f"{value:g}"
    )
    bar.ax.minorticks_off()


def draw_map(axes: Axes, kept: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
    """One head's map: the mean weight of each block on a logarithmic scale, queries downwards."""
    from matplotlib.colors import LogNorm

    tokens = record["details"]["tokens"]
    means = np.array(kept["means"], dtype=float)
    side = kept["block_tokens"] * len(means)
    image = axes.imshow(
        np.where(means > 0, means, np.nan),
        cmap="magma",
        norm=LogNorm(1e-6, 1e-1, clip=True),
        extent=(0, side, side, 0),
        interpolation="nearest",
    )
    for begin, end in record["details"].get("needle_tokens", []):
        axes.axvspan(begin, end, facecolor="none", edgecolor="#56B4E9", linewidth=1.2)
    axes.set_xlim(0, tokens)
    axes.set_ylim(tokens, 0)
    axes.grid(visible=False)
    axes.set_facecolor("#eeeeee")
    axes.set_xlabel("key (token)")
    axes.set_ylabel("query (token)")
    set_title(axes, f"{record['checkpoint']}: {kept['role']} head {kept['layer']}:{kept['head']}")
    axes.title.set_fontsize(9)
    return image
