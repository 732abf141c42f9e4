"""The top of the page: who is better, how far each checkpoint holds, what was run, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.cells import Cell, Cells
from ropepp_eval.reports.effective_length import EffectiveLength, Limits
from ropepp_eval.reports.effective_table import table_of_lengths
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.naming import checkpoint_labels, checkpoint_of, natural
from ropepp_eval.reports.notes import table_notes
from ropepp_eval.reports.page.parts import CheckpointFacts, Fact, Progress, Summary
from ropepp_eval.reports.reading import RunFolder
from ropepp_eval.reports.run_status import goes_on
from ropepp_eval.reports.table import Section
from ropepp_eval.reports.verdict import standings
from ropepp_eval.words import counted
from ropepp_eval.worker_states import read_states, state_line

MOST_NAMED = 12
"""Unfinished cells that are named one by one."""


def summary_of(cells: Cells, options: LayoutOptions) -> Summary:
    """The sentences and facts of all cells."""
    return Summary(
        sentences=tuple(map(inert, standings(cells, options))),
        ran=_ran(cells),
        missing=tuple(map(inert, _missing(cells))),
        notes=tuple(map(inert, table_notes(cells, ()))),
    )


def effective_sections(cells: Cells, found: list[EffectiveLength]) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Effective lengths as tables, and what their words mean; none where there are none."""
    if not found:
        return (), ()
    table, known = table_of_lengths(cells, found, Limits()), table_notes(cells, ())
    return table.sections, tuple(note for note in table.notes if note not in known)


def _ran(cells: Cells) -> tuple[Fact, ...]:
    rows = [row for cell in cells.cells for row in cell.rows]
    documents = {row.get("cluster") or row["row_sha256"] for row in rows}
    names = [cell.name for cell in cells.cells]
    tasks = sorted({name.task for name in names}, key=natural)
    lengths = sorted({name.length_tokens for name in names})
    planned = sum(cell.planned or len(cell.rows) for cell in cells.cells)
    answered = f"{len(rows):,}" if len(rows) == planned else f"{len(rows):,} of {planned:,} planned"
    return tuple(
        Fact(name, inert(value))
        for name, value in (
            ("checkpoints", ", ".join(checkpoint_labels(cells.cells).values())),
            ("tasks", ", ".join(tasks)),
            ("lengths", ", ".join(map(format_length, lengths))),
            ("cells", f"{len(cells.cells):,}"),
            ("rows", answered),
            ("documents", f"{len(documents):,} different questions or sources"),
            ("protocol", ", ".join(sorted({name.protocol for name in names}))),
        )
    )


def _missing(cells: Cells) -> list[str]:
    labels = checkpoint_labels(cells.cells)
    said = []
    failed = [(cell, cell.failed) for cell in cells.cells if cell.failed]
    if failed:
        named = [f"{_place(cell, labels[checkpoint_of(cell)])} ({count})" for cell, count in failed]
        said.append(f"{counted(sum(count for _, count in failed), 'failed row')}: {_some(named)}")
    empty = [cell for cell in cells.cells if not cell.rows and not cell.reported]
    if empty:
        named = [_place(cell, labels[checkpoint_of(cell)]) for cell in empty]
        said.append(f"{counted(len(empty), 'cell')} without any row: {_some(named)}")
    short = [cell for cell in cells.cells if cell.rows and cell.planned is not None and len(cell.rows) < cell.planned]
    if short:
        named = [f"{_place(cell, labels[checkpoint_of(cell)])} ({len(cell.rows)} of {cell.planned})" for cell in short]
        said.append(f"{counted(len(short), 'cell')} with fewer rows than planned: {_some(named)}")
    return said


def _place(cell: Cell, label: str) -> str:
    return f"{label}, {cell.name.task} at {cell.name.length}"


def _some(named: Sequence[str]) -> str:
    more = len(named) - MOST_NAMED
    return "; ".join(named[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def progress_of(cells: Cells, runs: Iterable[RunFolder]) -> Progress:
    """How far the runs have come."""
    known = [(cell, cell.planned if cell.planned is not None else len(cell.rows)) for cell in cells.cells]
    open_ = [run for run in runs if run.manifest.get("status") and goes_on(run.manifest)]
    return Progress(
        cells=len(known),
        finished_cells=sum(len(cell.rows) >= planned for cell, planned in known),
        rows=sum(planned for _, planned in known),
        finished_rows=sum(min(len(cell.rows), planned) for cell, planned in known),
        going_on=bool(open_),
        workers=tuple(state_line(state) for run in open_ for state in read_states(Path(run.folder)).workers),
    )


def checkpoints_of_page(cells: Cells) -> tuple[CheckpointFacts, ...]:
    """In the order of every table."""
    found = []
    for one, label in checkpoint_labels(cells.cells).items():
        facts = cells.checkpoints.get(one, {})
        trained = _whole(facts.get("max_position_embeddings"))
        found.append(
            CheckpointFacts(
                label, inert(one[2]), inert(one[1]), _whole(facts.get("parameters")), format_length(trained) if trained else "",
                _whole(facts.get("kv_bytes_per_token")), inert(facts.get("note") or ""),
            )
        )  # fmt: skip
    return tuple(found)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None
