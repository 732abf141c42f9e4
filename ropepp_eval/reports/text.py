"""A table as text that fits a width: details go below their values, tasks above their lines, columns into blocks.

Each line is a list of (text, style) segments: joined, it is plain text; with styles, what `rich` prints on a terminal.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.cells import cell_len, chop_cells

from ropepp_eval.inert import is_terminal, raw_stream
from ropepp_eval.reports.table import Entry, Line, Section, Show, Table, detail_parts, number_text

Segments = list[tuple[str, str]]
"""One printed line: texts with rich's names of styles (bold, dim, underline, or none)."""
Cell = tuple[list[str], str]
"""Lines of one cell of a table, and the style of the first."""
TEXT_MARKS = {"best": ("*", "bold"), "second": ("+", "underline"), "": ("", "")}
GAP = "  "
NARROWEST = 40
"""Characters; nothing is folded narrower."""
HEAD_WIDTH, LABEL_WIDTH = 10, 16
"""Characters of a column's name, and of the longest word of a label, before they are folded."""


def output_width() -> int | None:
    """Characters a line of standard output may have: COLUMNS where it is set, else the terminal's; None without either."""
    if os.environ.get("COLUMNS", "").isdecimal() or is_terminal(sys.stdout):
        return shutil.get_terminal_size().columns
    return None


def plain_text(table: Table, show: Show) -> str:
    """The table without styles."""
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in text_lines(table, show))


def text_lines(table: Table, show: Show) -> Iterator[Segments]:
    """The lines of the table, none wider than `show.width` where that is given."""
    width = None if show.width is None else max(NARROWEST, show.width)
    for sentence in table.lead:
        yield from _folded(sentence, width)
    for number, section in enumerate(table.sections):
        if number or table.lead:
            yield []
        yield from _folded(section.title, width, style="bold")
        yield from _section_lines(section, show, width)
        for note in section.notes:
            yield from _folded(note, width, "  ")
    if table.notes:
        yield []
    for note in table.notes:
        yield from _folded(note, width)


def _folded(text: str, width: int | None, indent: str = "", style: str = "") -> Iterator[Segments]:
    """Words of `text` on lines of `width`; those after the first stand two blanks further in."""
    if width is None or cell_len(indent + text) <= width:
        yield [(indent + text, style)]
        return
    for number, line in enumerate(_wrapped(text, width - len(indent + GAP), ends=r"\s")):
        yield [(indent + (GAP if number else "") + line, style)]


def _section_lines(section: Section, show: Show, width: int | None) -> Iterator[Segments]:
    cells = [_cells(section, line, show, folded=False) for line in section.lines]
    labels = [list(line.labels) for line in section.lines]
    if width is None or _total(_widths([*section.label_columns, *section.columns], labels, cells)) <= width:
        yield from _block(section, labels, cells, range(len(section.columns)))
        return
    section, labels = _grouped(section, labels)
    section = replace(section, columns=tuple("\n".join(_wrapped(name, HEAD_WIDTH)) for name in section.columns))
    cells = [_cells(section, line, show, folded=True) for line in section.lines]
    names, *labels = _narrowed(section, labels, cells, width)
    section = replace(section, label_columns=tuple(names))
    for number, columns in enumerate(_columns_that_fit(section, labels, cells, width)):
        if number:
            yield []
        yield from _block(section, labels, cells, columns)
    if show.intervals and any(entry.interval for line in section.lines for entry in line.entries):
        yield from _folded("below each value: its 95 % interval (percents: to whole points, rounded outward)", width, GAP)


def _cells(section: Section, line: Line, show: Show, *, folded: bool) -> list[Cell]:
    """Where anything in a column is marked, what isn't gets a blank in place of the mark, so that decimal points align."""
    cells: list[Cell] = []
    for column, entry in enumerate(line.entries):
        marked = any(other.entries[column].mark for other in section.lines)
        mark, style = TEXT_MARKS[entry.mark]
        text = number_text(entry)
        text += mark or (" " if marked and text else "")
        details = _short_details(entry, show) if folded else detail_parts(entry, show)
        if folded:
            cells.append(([text, *(detail + (" " if marked else "") for detail in details)], style))
        else:
            cells.append(([f"{text} ({'; '.join(details)})" if details else text], style))
    return cells


def _short_details(entry: Entry, show: Show) -> list[str]:
    """As below a value: the interval short, everything else a line each."""
    found = detail_parts(entry, replace(show, intervals=False))
    if not show.intervals or entry.interval is None:
        return found
    low, high = entry.interval
    if entry.decimals == 1:  # percent
        short = (f"{math.floor(low + 1e-9)}", f"{math.ceil(high - 1e-9)}")
    else:
        short = (f"{low:.{entry.decimals}f}", f"{high:.{entry.decimals}f}")
    return [(" to " if low < 0 else "-").join(short), *found]


def _grouped(section: Section, labels: list[list[str]]) -> tuple[Section, list[list[str]]]:
    """Without a first label column that only repeats the group; `_block` writes the group above its lines instead."""
    if len(section.label_columns) < 2 or any(line.group != line.labels[0] for line in section.lines):
        return section, labels
    return replace(section, label_columns=section.label_columns[1:]), [own[1:] for own in labels]


def _narrowed(section: Section, labels: list[list[str]], cells: list[list[Cell]], width: int) -> list[list[str]]:
    """Names of the label columns and labels with line ends between their words: as narrow as it takes to get all columns into
    `width`, or else half of it."""
    count = len(section.label_columns)
    natural = _widths([*section.label_columns, *section.columns], labels, cells)
    widths, values = natural[:count], natural[count:]
    labels = [list(section.label_columns), *labels]
    words = [[cell_len(word.rstrip()) for text in column for word in _words(text)] for column in zip(*labels, strict=True)]
    most = (width - max(values, default=0)) // count - len(GAP)  # beside one column there is room for all
    narrowest = [max(4, min(LABEL_WIDTH, most, max(lengths))) for lengths in words]
    widths = [max(pair) for pair in zip(widths, narrowest, strict=True)]
    room = width - sum(values) - len(GAP) * len(values)
    if _total(narrowest) > room:
        room = width // 2
    while _total(widths) > room and widths != narrowest:
        widths[max(range(count), key=lambda i: widths[i] - narrowest[i])] -= 1
    return [["\n".join(_wrapped(text, w)) for text, w in zip(own, widths, strict=True)] for own in labels]


def _words(text: str, ends: str = r"\s_/-") -> list[str]:
    """Parts of a name or phrase after which a line may end, with what divides them."""
    return re.findall(rf"[^{ends}]*[{ends}]+|[^{ends}]+", text) or [""]


def _wrapped(text: str, width: int, ends: str = r"\s_/-") -> list[str]:
    """`text` on lines of `width`, which end between words where they can."""
    lines = [""]
    for word in _words(text, ends):
        if cell_len(lines[-1] + word.rstrip()) <= width:
            lines[-1] += word
        else:
            lines += chop_cells(word.rstrip(), width) if cell_len(word.rstrip()) > width else [word]
    return [line.rstrip() for line in lines if line.strip()] or [""]


def _columns_that_fit(
    section: Section, labels: list[list[str]], cells: list[list[Cell]], width: int
) -> Iterator[Sequence[int]]:
    """Columns block by block, as many as fit beside the labels (at least one)."""
    widths = _widths([*section.label_columns, *section.columns], labels, cells)
    count = len(section.label_columns)
    block: list[int] = []
    for column in range(len(section.columns)):
        if block and _total([*widths[:count], *(widths[count + i] for i in (*block, column))]) > width:
            yield block
            block = []
        block.append(column)
    yield block


def _widths(head: Sequence[str], labels: Sequence[Sequence[str]], cells: Sequence[Sequence[Cell]]) -> list[int]:
    """Characters of each column, labels first."""
    rows = [[*own, *("\n".join(lines) for lines, _ in line)] for own, line in zip(labels, cells, strict=True)]
    return [max(cell_len(part) for row in [[*head], *rows] for part in row[i].split("\n")) for i in range(len(head))]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _block(section: Section, labels: list[list[str]], cells: list[list[Cell]], columns: Sequence[int]) -> Iterator[Segments]:
    """Head, rule and lines of some columns."""
    head = [*section.label_columns, *(section.columns[i] for i in columns)]
    chosen = [[line[i] for i in columns] for line in cells]
    widths = _widths(head, labels, chosen)
    left = len(section.label_columns)
    grouped = bool(section.lines) and left < len(section.lines[0].labels)
    yield from _line(section.label_columns, [(section.columns[i].split("\n"), "") for i in columns], widths)
    yield [(GAP.join("-" * width for width in widths), "dim")]
    group = None if grouped else next((line.group for line in section.lines), "")
    for line, own, row in zip(section.lines, labels, chosen, strict=True):
        if line.group != group:
            yield from ([] if group is None else [[]])
            yield from ([[(line.group, "bold")]] if grouped else [])
            group = line.group
        yield from _line(own, row, widths)


def _line(labels: Sequence[str], cells: Sequence[Cell], widths: Sequence[int]) -> Iterator[Segments]:
    """One line of the table, on as many printed lines as its highest cell needs."""
    columns = [*((label.split("\n"), "") for label in labels), *cells]
    for number in range(max(len(lines) for lines, _ in columns)):
        parts = [
            (lines[number] if number < len(lines) else "", style if number == 0 else "dim" if i >= len(labels) else "")
            for i, (lines, style) in enumerate(columns)
        ]
        yield _aligned(parts, widths, len(labels))


def _aligned(parts: Iterable[tuple[str, str]], widths: Sequence[int], left: int) -> Segments:
    """Labels at the left of their columns, values at the right; styles on the words, not on the blanks."""
    line: Segments = []
    for i, ((text, style), width) in enumerate(zip(parts, widths, strict=True)):
        blanks = " " * (width - cell_len(text))
        gap = GAP if i else ""
        line += [(gap, ""), (text, style), (blanks, "")] if i < left else [(gap + blanks, ""), (text, style)]
    return line


def print_styled(table: Table, show: Show) -> None:
    """Print the table on a terminal, with `rich`'s styles. The table's texts must be inert."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=raw_stream(sys.stdout), highlight=False)
    for line in text_lines(table, show):
        console.print(Text.assemble(*line), soft_wrap=True)
