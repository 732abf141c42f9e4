"""Values of cosines and sines met in training, and at a longer length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropepp_eval.lengths import format_length
from ropepp_eval.probes.pictures.common import ROLES, gathered, headline, legend_below, length_axis, panels, styles_of
from ropepp_eval.reports.style import set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """The share of dimensions that meet something new, and how wide it is, against length: one line a checkpoint."""
    known = numbers[numbers["role"].notna()]
    means = known.groupby(["checkpoint", "length_tokens"], sort=False)[["new_dimensions", "new_values"]].mean().reset_index()
    styles = styles_of(list(dict.fromkeys(means["checkpoint"])))
    figure, axes = panels(2, 2, width=4.2, height=3.2)
    for one, column, what in zip(
        axes, ("new_dimensions", "new_values"), ("dimensions with a new value (%)", "new values (% of -1 to 1)"), strict=True
    ):
        for name, part in means.groupby("checkpoint", sort=False):
            one.plot(part["length_tokens"], 100 * part[column], label=str(name), **styles[str(name)])
        for trained in sorted({*known["trained_length"]}):
            one.axvline(trained, color="#666666", linestyle=(0, (1, 2)), linewidth=1.2, label="trained length", zorder=0)
        length_axis(one, sorted({*means["length_tokens"]}))
        one.set_xlabel("context length (tokens)")
        one.set_ylabel(what)
    still = list(dict.fromkeys(numbers[numbers["role"].isna()]["checkpoint"]))
    headline(
        figure, "Cosines and sines that training did not show" + (f"; nothing turns in {', '.join(still)}" if still else "")
    )
    legend_below(figure, *gathered(axes))
    return {"coverage": figure}


def paper(frame: pandas.DataFrame) -> dict[str, Figure]:
    """Figure 3: for each dimension the values met in training, of real heads alone and with the imaginary ones, and those at the longest length."""
    both = frame[frame["role"] == "imaginary"]
    name = (both if len(both) else frame)["checkpoint"].iloc[0]
    own = frame[frame["checkpoint"] == name]
    length, trained = int(own["length_tokens"].max()), int(own["trained_length"].iloc[0])
    own = own[own["length_tokens"] == length]
    columns: list[tuple[str, tuple[str, ...]]] = [("real heads alone", ("real",))]
    if len(both):
        columns.append(("real and imaginary heads", ("real", "imaginary")))
    figure, axes = panels(2 * len(columns), len(columns), width=4.4, height=2.6)
    for row, slot in enumerate(("cos", "sin")):
        for column, (title, roles) in enumerate(columns):
            one = axes[row * len(columns) + column]
            for role in roles:
                _bars(one, own[(own["role"] == role) & (own["slot"] == slot)], role, trained, length)
            one.set_ylabel(f"{'first' if slot == 'cos' else 'second'} value of the pair")
            set_title(
                one, f"{title}: {slot if roles == ('real',) else ('cos and sin' if slot == 'cos' else 'sin and -cos')}"
            )
    for one in axes[-len(columns) :]:
        one.set_xlabel("pair of dimensions (fast to slow)")
    headline(figure, f"{name}: values met in training (up to {format_length(trained)}) and at {format_length(length)}")
    legend_below(figure, *gathered(axes))
    return {"figure3": figure}


def _bars(axes: Axes, part: pandas.DataFrame, role: str, trained: int, length: int) -> None:
    shift = 0.0 if role == "real" else 0.4
    axes.bar(part["dimension"] + shift, part["high"] - part["low"], 0.36, bottom=part["low"], fill=False, edgecolor=ROLES[role]["color"], linewidth=0.8,
             label=f"{role}: at {format_length(length)}")  # fmt: skip
    axes.bar(part["dimension"] + shift, part["high_trained"] - part["low_trained"], 0.36, bottom=part["low_trained"], color=ROLES[role]["color"], alpha=0.6,
             label=f"{role}: up to {format_length(trained)}")  # fmt: skip
    axes.set_ylim(-1.1, 1.1)
