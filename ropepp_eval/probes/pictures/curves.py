"""Scores against distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropepp_eval.probes.pictures.common import (
    ROLES,
    gathered,
    headline,
    legend_below,
    line_with_band,
    panels,
    positions_axis,
)
from ropepp_eval.reports.style import set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORM: dict[str, Any] = {"marker": "", "linewidth": 1.2}


def picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """One panel a checkpoint: the heads' mean score with its band, and the closed form for their mean agreement."""
    longest = numbers[numbers["length_tokens"] == numbers["length_tokens"].max()]
    names = list(dict.fromkeys(longest["checkpoint"]))
    figure, axes = panels(len(names), 3)
    for one, name in zip(axes, names, strict=True):
        _measured(one, longest[longest["checkpoint"] == name])
        one.set_title(name, fontsize=10)
    for one in axes[:: min(3, len(axes))]:
        one.set_ylabel("mean score (logits)")
    headline(
        figure, "Score of heads against distance: mean over heads with 95 % band; dotted: closed form of isotropic content"
    )
    legend_below(figure, *gathered(axes))
    return {"curves": figure}


def paper(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Figure 1: the characteristic curves of real and imaginary attention, beside what a checkpoint with both has."""
    both = numbers[numbers["role"] == "imaginary"]
    name = (both if len(both) else numbers)["checkpoint"].iloc[0]
    own = numbers[(numbers["checkpoint"] == name) & (numbers["length_tokens"] == numbers["length_tokens"].max())]
    figure, axes = panels(2, 2, width=4.2, height=3.2)
    for role, part in own[own["distance"] >= 1].groupby("role", sort=False):
        if part["closed_form"].notna().any():
            style = ROLES[str(role)] | {"marker": ""}
            axes[0].plot(part["distance"], part["closed_form"], label=f"{role}: sum over dimensions", **style)
            axes[0].plot(
                part["distance"],
                part["limit"],
                label=f"{role}: integral",
                color=style["color"],
                linestyle=":",
                linewidth=1.4,
            )
    _axis(axes[0], float(own["distance"].max()))
    axes[0].set_ylabel("expected score (1 at distance 0)")
    set_title(axes[0], "closed forms")
    _measured(axes[1], own)
    axes[1].set_ylabel("mean score (logits)")
    set_title(axes[1], f"measured: {name}")
    legend_below(figure, *gathered(axes))
    return {"figure1": figure}


def _measured(axes: Axes, own: pandas.DataFrame) -> None:
    own = own[own["distance"] >= 1]
    for role, part in own.groupby("role", sort=False):
        line_with_band(axes, part["distance"], part, f"{role}: measured", ROLES[str(role)] | {"marker": ""})
        if part["closed_form"].notna().any():
            axes.plot(
                part["distance"],
                part["closed_form"] * part["agreement"],
                label=f"{role}: closed form",
                color=ROLES[str(role)]["color"],
                linestyle=":",
                **_FORM,
            )
    _axis(axes, float(own["distance"].max()))


def _axis(axes: Axes, longest: float) -> None:
    positions_axis(axes, longest)
    axes.set_xlabel("distance (tokens)")
    axes.axhline(0, color="#999999", linewidth=0.8, zorder=0)
