"""Loss past the trained length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ropepp_eval.probes.pictures.common import gathered, legend_below, line_with_band, positions_axis, styles_of
from ropepp_eval.reports.style import new_figure, set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


def picture(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Loss by position, one line a checkpoint with its band; its name says where the loss has risen by 0.1 nat."""
    return {"extrapolation": _figure(numbers, perplexity=False)}


def paper(numbers: pandas.DataFrame) -> dict[str, Figure]:
    """Figure 6: perplexity past the trained length."""
    return {"figure6": _figure(numbers, perplexity=True)}


def _figure(numbers: pandas.DataFrame, *, perplexity: bool) -> Figure:
    longest = numbers[numbers["length_tokens"] == numbers["length_tokens"].max()]
    figure, [[axes]] = new_figure(8.2, 4.2)
    styles = styles_of(list(dict.fromkeys(longest["checkpoint"])))
    for name, part in longest.groupby("checkpoint", sort=False):
        own = part.sort_values("first")
        if perplexity:
            own = own.assign(**{column: np.exp(own[column].astype(float)) for column in ("mean", "low", "high")})
        line_with_band(
            axes, (own["first"] + own["last"]) / 2, own, f"{name}: {rise_in_words(own.iloc[0])}", styles[str(name)]
        )
    for number, trained in enumerate(sorted({*longest["trained_length"]})):
        label = "trained length" if number == 0 else None
        axes.axvline(trained, color="#666666", linestyle=(0, (1, 2)), linewidth=1.4, label=label, zorder=0)
    positions_axis(axes, float(longest["last"].max()), float((longest["first"] + longest["last"]).min() / 2))
    axes.set_xlabel("tokens before the scored one")
    axes.set_ylabel("perplexity" if perplexity else "loss (nats per token)")
    if perplexity:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")  # no text of ours is read as mathematics
        axes.yaxis.set_minor_formatter("")
    what = "perplexity" if perplexity else "loss"
    set_title(axes, f"{longest['task'].iloc[0]}: {what} by position", "bands: 95 % intervals over texts")
    legend_below(figure, *gathered([axes]))
    return figure


def rise_in_words(line: pandas.Series) -> str:
    """`+0.1 nat at 608 (540 to 724)`."""
    at, low, high = line["rises_at"], line["rises_low"], line["rises_high"]
    if at is None or at != at:
        return "not read past its length"
    if np.isinf(at):
        return "no rise"
    ends = "" if low is None or low != low else f" ({_place(low)} to {_place(high)})"
    return f"+0.1 nat at {_place(at)}{ends}"


def _place(position: float) -> str:
    return "never" if np.isinf(position) else f"{int(position):,}"
