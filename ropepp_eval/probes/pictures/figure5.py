"""Figure 5: maps of a real and an imaginary head, and scores with noise on either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.probes.pictures import noise
from ropepp_eval.probes.pictures.attention import draw_map, weight_bar
from ropepp_eval.probes.pictures.common import gathered, legend_below
from ropepp_eval.reports.style import new_figure, set_title

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


def figure5(attention: Sequence[Mapping[str, Any]], noise_numbers: pandas.DataFrame) -> dict[str, Figure]:
    """The maps of the longest row that has some, of the checkpoint whose noise is drawn where it can be.

    Raises:
        UserError: no record has maps.
    """
    name, scores = noise.paper(noise_numbers)
    kept = [record for record in attention if record["details"].get("maps")]
    if not kept:
        raise UserError("figure 5 needs maps of heads, and the probe attention kept none; run it anew with another --out")
    record = max(kept, key=lambda record: (record["checkpoint"] == name, record["length_tokens"]))
    maps = sorted(record["details"]["maps"], key=lambda one: one["role"] != "real")[:2]
    figure, [axes] = new_figure(4.0 * (len(maps) + 1), 3.9, 1, len(maps) + 1)
    for one, head in zip(axes, maps, strict=False):
        image = draw_map(one, head, record)
    weight_bar(figure, image, axes[: len(maps)])
    noise.scores_panel(axes[-1], scores)
    set_title(axes[-1], f"{name}: {scores['task'].iloc[0]} at {format_length(int(scores['length_tokens'].iloc[0]))}")
    axes[-1].title.set_fontsize(9)  # as the maps' titles
    legend_below(figure, *gathered(axes[-1:]))
    return {"figure5": figure}
