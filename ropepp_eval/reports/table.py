"""A table as data: sections of lines of entries. Layouts make it, formats print it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from ropepp_eval.inert import inert

if TYPE_CHECKING:
    from ropepp_eval.reports.measures import Measure


P_DECIMALS = 4
"""Printed digits of p-values, and of nothing else."""


@dataclass(frozen=True)
class Entry:
    """One number of a table and what stands behind it."""

    value: float | None = None
    """As shown: percent where the metric's scale says so. None: not run, or not derivable."""
    decimals: int = 1
    rows: int = 0
    """Rows that count in the value (summed for averages)."""
    failed: int = 0
    cut: int = 0
    planned: int | None = None
    fill: float | None = None
    interval: tuple[float, float] | None = None
    """95 % interval, in the unit of `value`."""
    mark: str = ""
    """`best`, `second` or nothing."""
    cells: int = 1
    """Cells that the value is made of, or would be."""
    members: tuple[int, int] | None = None
    """(cells present, cells wanted) of a partial average."""
    signed: bool = False
    """A difference: shown with its sign."""
    stand_in: bool = False
    damaged: int = 0
    text: str | None = None
    """Words in place of a number."""
    measure: Measure = ()
    """The cells behind the value, for intervals and tests; empty for what is not measured."""

    @property
    def incomplete(self) -> bool:
        """Fewer rows than planned so far, or lines lost."""
        return self.damaged > 0 or (self.planned is not None and self.rows + self.failed < self.planned)


@dataclass(frozen=True)
class Line:
    """One line: its labels (one a label column) and its entries (one a column)."""

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    group: str = ""
    """Lines of one group are ranked together and set apart from the others."""
    ranked: bool = True
    """False for published numbers and differences, which never count as best."""


@dataclass(frozen=True)
class Section:
    """Lines with common columns."""

    title: str
    fields: dict[str, str]
    """What the title says, as columns for CSV and JSON: benchmark, protocol, metric, ..."""
    label_columns: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    higher_is_better: tuple[bool | None, ...]
    """One a column; None where a column is not ranked."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What a layout makes."""

    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    """What is said before the sections: a verdict."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """What a table shows beside the values."""

    intervals: bool = False
    counts: frozenset[str] = field(default_factory=frozenset)
    """Of `rows`, `failed`, `cut`, `fill`."""
    width: int | None = None
    """Characters that a line of text may have; None: as many as it needs."""


def inert_table(table: Table) -> Table:
    """The table with every text on one line and without characters that act on a terminal."""

    def entry(one: Entry) -> Entry:
        return one if one.text is None else replace(one, text=inert(one.text))

    def line(one: Line) -> Line:
        labels, entries = tuple(map(inert, one.labels)), tuple(map(entry, one.entries))
        return replace(one, labels=labels, entries=entries, group=inert(one.group))

    def section(one: Section) -> Section:
        return replace(
            one,
            title=inert(one.title),
            fields={name: inert(value) for name, value in one.fields.items()},
            columns=tuple(map(inert, one.columns)),
            lines=tuple(map(line, one.lines)),
            notes=tuple(map(inert, one.notes)),
        )

    return Table(tuple(map(section, table.sections)), tuple(map(inert, table.notes)), tuple(map(inert, table.lead)))


def number_text(entry: Entry) -> str:
    """The value with its printed digits; empty where it is missing."""
    if entry.text is not None:
        return entry.text
    if entry.value is None:
        return ""
    if entry.decimals == P_DECIMALS and 0 < entry.value < 0.5 * 10**-P_DECIMALS:
        return f"<{10**-P_DECIMALS:.{P_DECIMALS}f}"  # no p-value is 0
    return _rounded(entry.value, entry.decimals, "+" if entry.signed else "")


def _rounded(value: float, decimals: int, sign: str = "") -> str:
    """Halves to even, as the paper rounds, after the noise of float sums (beyond nine decimals) is dropped; no -0.0."""
    exact = Decimal(repr(round(value, 9)))
    number = exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    return f"{number + 0:{sign}f}" if number else f"{abs(number):f}"


def detail_text(entry: Entry, show: Show) -> str:
    """What follows the value."""
    return "; ".join(detail_parts(entry, show))


def detail_parts(entry: Entry, show: Show) -> list[str]:
    """Members of a partial average, interval, rows of an unfinished cell, counts. What is made of no rows has no counts."""
    parts: list[str] = []
    if entry.members is not None:
        parts.append(f"{entry.members[0]} of {entry.members[1]}")
    if show.intervals and entry.interval is not None:
        low, high = entry.interval
        parts.append(f"{_rounded(low, entry.decimals)} to {_rounded(high, entry.decimals)}")
    if entry.incomplete and entry.value is not None and entry.planned and entry.rows + entry.failed < entry.planned:
        parts.append(f"{entry.rows + entry.failed} of {entry.planned} rows")
    has_rows = bool(entry.rows or entry.failed)
    if "rows" in show.counts and has_rows:
        parts.append(f"n {entry.rows}")
    if "failed" in show.counts and has_rows:
        parts.append(f"failed {entry.failed}")
    if "cut" in show.counts and has_rows:
        parts.append(f"cut {entry.cut}")
    if "fill" in show.counts and entry.fill is not None:
        parts.append(f"fill {100 * entry.fill:.1f} %")
    return parts


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry for the next program; missing is null."""
    return {
        "value": entry.value,
        "rows": entry.rows,
        "failed": entry.failed,
        "cut": entry.cut,
        "planned": entry.planned,
        "fill": entry.fill,
        "interval": list(entry.interval) if entry.interval else None,
        "mark": entry.mark or None,
        "members": list(entry.members) if entry.members else None,
        "stand_in": entry.stand_in,
        "incomplete": entry.incomplete,
        **({} if entry.text is None else {"text": entry.text}),
    }
