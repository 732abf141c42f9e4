"""The number of independent documents beside the number of rows, in tables where rows share documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from ropepp_eval.reports.cells import scores_of
from ropepp_eval.reports.statistics import count_distinct
from ropepp_eval.reports.table import Entry, Line, Section, Table

T = TypeVar("T")
NAME = "documents"
NOTE = "documents: sources behind the rows of a line; rows of one document hang together and count as one in intervals and tests"


def with_documents(table: Table) -> Table:
    """The table with a column `documents` after `n` in each section with a line of fewer documents than rows."""
    sections = tuple(map(_with_documents, table.sections))
    return replace(table, sections=sections, notes=(*table.notes, *([NOTE] if sections != table.sections else [])))


def _with_documents(section: Section) -> Section:
    if "n" not in section.columns:
        return section
    place = section.columns.index("n") + 1
    found = [_documents(line) for line in section.lines]
    if all(documents in (0, line.entries[place - 1].value) for documents, line in zip(found, section.lines, strict=True)):
        return section
    lines = tuple(
        replace(line, entries=_inserted(line.entries, place, Entry(float(documents) if documents else None, 0)))
        for line, documents in zip(section.lines, found, strict=True)
    )
    columns, sides = _inserted(section.columns, place, NAME), _inserted(section.higher_is_better, place, None)
    return replace(section, columns=columns, higher_is_better=sides, lines=lines)


def _inserted(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place:])


def _documents(line: Line) -> int:
    """Distinct documents behind the scored rows of a line; a document asked at several lengths is one."""
    parts = {(part.cell, part.metric) for entry in line.entries for part in entry.measure}
    clusters = [scores_of(cell, metric).rows.clusters for cell, metric in parts]
    return count_distinct(np.concatenate(clusters)) if clusters else 0
