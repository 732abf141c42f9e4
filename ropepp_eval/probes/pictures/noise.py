"""Scores with noise on heads, and without heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropepp_eval.lengths import format_length
from ropepp_eval.probes.pictures.common import ROLES, gathered, legend_below, line_with_bars, panels, styles_of
from ropepp_eval.reports.style import set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """One column a checkpoint: score against deviation by role, and below it the paired difference real minus imaginary."""
    groups = [(name, part) for name, part in numbers.groupby(["checkpoint", "task", "length_tokens"], sort=False)]
    figure, axes = panels(2 * len(groups), len(groups), width=3.4, height=2.6)
    for column, ((checkpoint, task, length), part) in enumerate(groups):
        _scores(axes[column], part)
        set_title(axes[column], f"{checkpoint}", f"{task} at {format_length(_whole(length))}")
        _differences(axes[len(groups) + column], part)
    axes[0].set_ylabel("score (%)")
    axes[len(groups)].set_ylabel("real minus imaginary (points)")
    legend_below(figure, *gathered(axes[: len(groups)]))
    return {"noise": figure}


def paper(numbers: pandas.DataFrame) -> tuple[str, pandas.DataFrame]:
    """The checkpoint of Figure 5's right half, and its lines: the first one with imaginary heads, at its longest length."""
    both = numbers[numbers["target"] == "imaginary"]
    name = (both if len(both) else numbers)["checkpoint"].iloc[0]
    own = numbers[numbers["checkpoint"] == name]
    return str(name), own[own["length_tokens"] == own["length_tokens"].max()]


def scores_panel(axes: Axes, part: pandas.DataFrame) -> None:
    """Score against deviation, one line a role."""
    _scores(axes, part)
    axes.set_ylabel("score (%)")


def _scores(axes: Axes, part: pandas.DataFrame) -> None:
    for target, own in part.groupby("target", sort=False):
        own = own.sort_values("deviation")
        line_with_bars(axes, own["deviation"], own, f"noise on {target} heads", ROLES[str(target)], 100.0)
    axes.set_ylim(-3, 103)
    _deviation_axis(axes, part)


def _deviation_axis(axes: Axes, part: pandas.DataFrame) -> None:
    deviations = sorted({*part["deviation"]})
    axes.set_xticks(deviations, labels=[f"{deviation:g}" for deviation in deviations])
    axes.set_xlabel("standard deviation of the noise")


def _differences(axes: Axes, part: pandas.DataFrame) -> None:
    axes.axhline(0, color="#999999", linewidth=0.8, zorder=0)
    _deviation_axis(axes, part)
    if "difference" not in part or part["difference"].isna().all():
        axes.text(0.5, 0.5, "one role only", ha="center", va="center", transform=axes.transAxes)
        return
    own = part.drop_duplicates("deviation").sort_values("deviation")
    renamed = own.rename(columns={"mean": "_", "low": "_l", "high": "_h"}).rename(
        columns={"difference": "mean", "difference_low": "low", "difference_high": "high"}
    )
    line_with_bars(
        axes, renamed["deviation"], renamed, "_difference", ROLES["both"] | {"color": "#000000", "linestyle": "-"}, 100.0
    )


def ablation_picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Score of the whole model and without heads: one group a condition, one mark a checkpoint."""
    groups = [(name, part) for name, part in numbers.groupby(["task", "length_tokens"], sort=False)]
    figure, axes = panels(len(groups), 2, width=5.2, height=3.4)
    names = list(dict.fromkeys(numbers["checkpoint"]))
    styles = styles_of(names)
    conditions = list(
        dict.fromkeys(_condition(target, way) for target, way in zip(numbers["target"], numbers["way"], strict=True))
    )
    for one, ((task, length), part) in zip(axes, groups, strict=True):
        for number, name in enumerate(names):
            own = part[part["checkpoint"] == name]
            places = [
                conditions.index(_condition(t, w)) + 0.12 * (number - (len(names) - 1) / 2)
                for t, w in zip(own["target"], own["way"], strict=True)
            ]
            line_with_bars(one, places, own, name, styles[name] | {"linestyle": "none"}, 100.0)
        one.set_xticks(range(len(conditions)), labels=conditions, rotation=20)
        one.set_ylim(-3, 103)
        set_title(one, f"{task} at {format_length(_whole(length))}")
    axes[0].set_ylabel("score (%)")
    legend_below(figure, *gathered(axes))
    return {"ablation": figure}


def _condition(target: str, way: str) -> str:
    return "whole model" if target == "none" else f"{target} {way}"


def _whole(value: Any) -> int:
    return int(value)
