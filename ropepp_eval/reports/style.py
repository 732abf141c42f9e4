"""How pictures look: told apart without colour (marker, line style), by the colour-blind (Okabe and Ito's colours), and the
same bytes for the same rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D00")
"""Okabe and Ito's palette without its yellow, which white paper swallows; the last is a dark yellow in its place."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1)))
MARKER_SIZE = 6.0
"""Points."""
HANDLE_LENGTH = 3.8
"""In the legend's font size: two periods of the longest line pattern."""
IMAGE_FORMATS = ("png", "svg")
SETTINGS: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "ropepp-eval",  # else matplotlib draws new element names each time
    "svg.fonttype": "none",
    "figure.dpi": 120,
}


def series_style(number: int) -> dict[str, Any]:
    """Colour, marker and line of the nth checkpoint; the three cycle with the same period, so 7 are distinct."""
    place = number % len(COLOURS)
    return {
        "color": COLOURS[place],
        "marker": MARKERS[place],
        "linestyle": LINES[place],
        "markersize": MARKER_SIZE,
        "linewidth": 1.6,
        "markerfacecolor": COLOURS[place] if number < len(COLOURS) else "white",
    }


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure of this size in inches, and its axes by row and column. Keeps no global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


WIDEST_AT_THE_SIDE, WIDEST_IN_PAIRS = 28, 38
"""Characters of a label. A legend with longer ones goes below the axes, which it would squeeze from the side; there two
labels of the second width stand side by side."""


def add_legend(figure: Figure, axes: Axes) -> None:
    """The legend outside the axes, so that it never hides data; its lines are long enough to tell dashes from dots."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=0)
    if longest <= WIDEST_AT_THE_SIDE:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, handlelength=HANDLE_LENGTH)
        return
    columns = 2 if longest <= WIDEST_IN_PAIRS else 1
    figure.set_figheight(figure.get_figheight() + 0.24 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, handlelength=HANDLE_LENGTH)


def limit_percent(axes: Axes, highest: float) -> None:
    """A percent axis from 0 (a little below, so that points at 0 are whole) to the next ten above `highest`."""
    top = min(100.0, 10.0 * max(1, math.ceil(highest / 10 + 0.02)))
    axes.set_ylim(-0.03 * top, 1.03 * top)


def set_title(axes: Axes, *lines: str) -> None:
    """The title, each of `lines` on one line whatever names stand in it."""
    axes.set_title("\n".join(map(inert, lines)))


def show_as_it_stands(figure: Figure) -> None:
    """No text of the figure is read as mathematics, and what the font lacks is written as an escape."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        shown = inert(text.get_text(), keep="\n")
        text.set_text("".join(c if c == "\n" or font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in shown))


def save(figure: Figure, folder: Path, name: str, formats: tuple[str, ...] = IMAGE_FORMATS) -> list[Path]:
    """Write the figure in each format; returns the files.

    Raises:
        UserError: the folder can't be written.
    """
    import matplotlib

    show_as_it_stands(figure)
    written = []
    for form in formats:
        path = folder / f"{name}.{form}"
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with matplotlib.rc_context(SETTINGS):
                figure.savefig(path, format=form, metadata=metadata)
        except OSError as error:
            raise UserError(
                f"picture {path} can't be written ({error.strerror}); choose another folder with --out"
            ) from error
        written.append(path)
    return written
