"""Tables of rows that fit 80 columns: one line a row, by cell; or one line a row that two checkpoints answered differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from rich.cells import cell_len, set_cell_size

from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cell, Cells
from ropepp_eval.reports.naming import checkpoint_labels, checkpoint_of, counted
from ropepp_eval.reports.row_filters import RowPair
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.reports.table import Line, Section, Table
from ropepp_eval.reports.text import GAP, NARROWEST

PIPED_WIDTH = 120
"""Characters of a line where nothing says how wide it may be: answers are cut there, and whole in the other formats."""
REFERENCE_WIDTH = 24
Item = TypeVar("Item")


def rows_table(views: Sequence[RowView], cells: Cells, *, width: int | None, limit: int, asked: str) -> Table:
    """Rows by cell. `asked` are the filters in words, for the last line."""
    labels = checkpoint_labels(cells.cells)
    columns = ("#", "row", "depth", "score", "finish", "reference", "answer")

    def line(view: RowView) -> list[str]:
        reference = " | ".join(view.references)
        said = view.failure or view.answer
        return [
            str(view.number),
            str(view.record["row"]),
            _depth(view),
            _score(view),
            view.record.get("finish") or "",
            reference,
            said,
        ]

    sections = []
    for cell, members in _by(views[:limit], lambda view: view.cell):
        name, rule = cell.name, members[0].metric
        title = f"{labels[checkpoint_of(cell)]}, {name.task} at {name.length} (protocol {name.protocol}): {rule}, {_counts(cell, rule)}"
        sections.append(_section(title, columns, [line(view) for view in members], width, "llrrlll"))
    return _noted(sections, _notes(len(views), min(limit, len(views)), sum(len(c.rows) for c in cells.cells), asked, cells))


def differing_table(
    pairs: Sequence[RowPair], cells: Cells, names: tuple[str, str], *, common: int, width: int | None, limit: int, asked: str
) -> Table:
    """Rows on which two checkpoints differ: a score and an answer of each. `common` is how many rows both have."""
    columns = ("#", "row", "depth", "reference", *names)

    def line(pair: RowPair) -> list[str]:
        view = pair.first
        sides = (f"{_score(one)} {(one.failure or one.answer).strip()}" for one in (pair.first, pair.second))
        return [str(view.number), str(view.record["row"]), _depth(view), " | ".join(view.references), *sides]

    sections = []
    for cell, members in _by(pairs[:limit], lambda pair: pair.first.cell):
        name = cell.name
        title = f"{name.task} at {name.length} (protocol {name.protocol}): {members[0].first.metric}, {counted(len(members), 'row')}"
        sections.append(_section(title, columns, [line(pair) for pair in members], width, "llrlll"))
    better = Counter(pair.better for pair in pairs)
    said = f"{len(pairs):,} of {counted(common, 'row')} that both have differ{asked}: {names[0]} better on {better[1]:,}, {names[1]} on {better[-1]:,}"
    notes = [said, *_shortened_note(len(pairs), min(limit, len(pairs))), *_legend(bool(sections)), *_damage(cells)]
    return _noted(sections, notes)


def _noted(sections: Sequence[Section], notes: Sequence[str]) -> Table:
    """Notes stand below the sections, or alone."""
    return Table(tuple(sections), tuple(notes)) if sections else Table((), lead=tuple(notes))


def _by(items: Iterable[Item], cell: Callable[[Item], Cell]) -> list[tuple[Cell, list[Item]]]:
    groups = [list(members) for _, members in groupby(items, key=lambda item: id(cell(item)))]
    return [(cell(members[0]), members) for members in groups]


def _counts(cell: Cell, metric: str) -> str:
    """`3 of 10 rows right, 1 failed`."""
    outcomes = Counter(RowView(0, cell, metric, record).outcome for record in cell.rows)
    judged = not outcomes["scored"]
    counts = [f"{outcomes['right']} of {counted(len(cell.rows), 'row')} right" if judged else counted(len(cell.rows), "row")]
    counts += [f"{outcomes[name]} {name}" for name in ("partly", "failed", "unscored") if outcomes[name]]
    return ", ".join(counts)


def _notes(found: int, shown: int, total: int, asked: str, cells: Cells) -> list[str]:
    said = f"{counted(found, 'row')}{asked}, of {total:,}"
    return [said, *_shortened_note(found, shown), *_legend(shown > 0), *_damage(cells)]


def _shortened_note(found: int, shown: int) -> list[str]:
    return [f"the first {shown:,} of them; --limit {found} shows all"] if shown < found else []


def _legend(rows: bool) -> list[str]:
    return ["#: the row's number among all rows here, for --show; score: of this row alone, 1 is right"] if rows else []


def _damage(cells: Cells) -> list[str]:
    return [f"damaged, left out: {one}" for one in cells.damage]


def _depth(view: RowView) -> str:
    depths = view.depths
    if not depths:
        return ""
    low, high = min(depths), max(depths)
    return f"{low:.0f} %" if len(depths) == 1 else f"{low:.0f}-{high:.0f} %"


def _score(view: RowView) -> str:
    return view.outcome if view.score is None else f"{view.score:.3g}"


def _section(title: str, columns: Sequence[str], lines: list[list[str]], width: int | None, sides: str) -> Section:
    """Texts of one line each, cut so that all columns get into the width; of `sides`, `r` stands at the right of its column."""
    texts = [[inert(text.strip()) for text in line] for line in [list(columns), *lines]]
    widths = [max(cell_len(line[i]) for line in texts) for i in range(len(columns))]
    widths = _fitted(widths, max(NARROWEST, width or PIPED_WIDTH), reference=columns.index("reference"))
    cut = [tuple(_aligned(text, w, side) for text, w, side in zip(line, widths, sides, strict=True)) for line in texts]
    return Section(title, {}, cut[0], (), tuple(Line(line, (), ranked=False) for line in cut[1:]), ())


def _fitted(widths: list[int], room: int, *, reference: int) -> list[int]:
    """Widths of columns that get into `room`: the reference has its share at most, and the columns after it share what is left."""
    free = reference + 1
    widths[reference] = min(widths[reference], max(REFERENCE_WIDTH, room // 5))
    left = room - sum(widths[:free]) - len(GAP) * (len(widths) - 1)
    count = len(widths) - free
    for i in sorted(range(free, len(widths)), key=lambda i: widths[i]):  # the narrow ones leave room to the others
        widths[i] = max(8, min(widths[i], left // count))
        left, count = left - widths[i], count - 1
    return widths


def _aligned(text: str, width: int, side: str) -> str:
    """What is too long loses its middle: how an answer begins and how it ends both tell something."""
    if cell_len(text) > width:
        head, tail = set_cell_size(text, (width - 3) * 2 // 3).rstrip(), text[-((width - 3) // 3) :] if width > 5 else ""
        while cell_len(f"{head}...{tail}") > width:  # wide characters
            tail = tail[1:]
        text = f"{head}...{tail}"
    blanks = " " * (width - cell_len(text))
    return blanks + text if side == "r" else text
