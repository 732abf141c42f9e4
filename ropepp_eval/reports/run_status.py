"""How runs get on, from their `run.json` and files of rows alone: state, progress, rate, time left, failures."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.pace import Pace, Part, proportion
from ropepp_eval.inert import inert
from ropepp_eval.manifests import is_planned, planned_here
from ropepp_eval.processes import is_alive
from ropepp_eval.records import CELL_FIELDS
from ropepp_eval.reports.cells import length_in_words
from ropepp_eval.reports.reading import Damage, read_manifest, read_rows_file, rows_files
from ropepp_eval.reports.sources import find_runs
from ropepp_eval.reports.table import Entry, Line, Section, Table
from ropepp_eval.words import counted, lasting
from ropepp_eval.worker_states import WorkerState, WorkerStates, read_states, state_line

ENDED = ("finished", "failed", "cancelled", "dead", "unreadable")
"""States in which nothing more will come; the others are `running` and `silent`."""
PATIENCE_SECONDS = 600
"""A run on another host that wrote nothing for so long, and for `PATIENCE_ROWS` times its longest row, is called silent."""
PATIENCE_ROWS = 20
_ENDS = {"success": "finished", "error": "failed", "cancelled": "cancelled"}
_REASONS = 3


@dataclass(frozen=True)
class CellProgress:
    """Rows of one planned cell."""

    name: tuple[Any, ...]
    """Its `records.CELL_FIELDS`."""
    planned: int
    rows: int
    """Answered so far, failed ones included."""
    failed: int
    seconds: float
    """Of those rows together."""
    longest_seconds: float
    foreseen_seconds: float | None = None
    """Of all planned rows, by the run itself; None: it said nothing."""

    @property
    def checkpoint(self) -> str:
        return str(self.name[0])

    @property
    def task(self) -> str:
        return str(self.name[4])

    @property
    def length_tokens(self) -> int:
        return int(self.name[5])

    def __str__(self) -> str:
        return f"{self.checkpoint}, {self.task} at {length_in_words(str(self.name[3]), self.length_tokens)}"


@dataclass(frozen=True)
class RunStatus:
    """One run, now."""

    folder: str
    state: str
    """`running`, `silent` (nothing written for long, and nobody here can know why), or one of `ENDED`."""
    cells: tuple[CellProgress, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why rows failed, the commonest first, with counts."""
    notes: tuple[str, ...] = ()
    """What a person should know of it."""
    idle_seconds: float | None = None
    """Since it last wrote anything."""
    workers: tuple[WorkerState, ...] = ()
    """What each of its workers does, where it runs on several (`run --on ray`)."""

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.cells)

    @property
    def planned(self) -> int:
        return sum(cell.planned for cell in self.cells)

    @property
    def failed(self) -> int:
        return sum(cell.failed for cell in self.cells)

    @property
    def rows_a_minute(self) -> float | None:
        """By the seconds that the rows took, or by what its workers do together; None before the first one."""
        if self.workers:
            return sum(worker.rows_a_minute or 0.0 for worker in self.workers) or None
        seconds = sum(cell.seconds for cell in self.cells)
        return 60 * self.rows / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """For the rows that are missing, if it goes on: as the run foresaw it, corrected by the rows that are there; of a run that
        foresaw nothing by the lengths of rows that are there, so None before the first one. 0 where none is missing."""
        foreseen = [cell.seconds if cell.rows >= cell.planned else cell.foreseen_seconds for cell in self.cells]
        measured = None not in foreseen
        parts = (
            Part(
                checkpoint=cell.checkpoint,
                task=cell.task,
                rows=cell.planned,
                foreseen_seconds=proportion(cell.planned, cell.length_tokens)
                if seconds is None or not measured
                else seconds,
                done_rows=min(cell.rows, cell.planned),
                done_seconds=cell.seconds,
            )
            for cell, seconds in zip(self.cells, foreseen, strict=True)
        )
        left = Pace(dict(enumerate(parts)), measured=measured).seconds_left
        return None if left is None else left / max(1, len(self.workers))

    @property
    def here(self) -> CellProgress | None:
        """The first cell with rows missing: where a run is, since it takes them in order."""
        return next((cell for cell in self.cells if cell.rows < cell.planned), None)

    def as_json(self) -> dict[str, Any]:
        """For the next program; missing is null."""
        return {
            "folder": self.folder,
            "state": self.state,
            "rows": self.rows,
            "planned": self.planned,
            "failed": self.failed,
            "rows_a_minute": self.rows_a_minute,
            "seconds_left": self.seconds_left,
            "idle_seconds": self.idle_seconds,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "workers": [worker.model_dump() for worker in self.workers],
            "cells": [
                {
                    **dict(zip(CELL_FIELDS, cell.name, strict=True)),
                    "rows": cell.rows,
                    "planned": cell.planned,
                    "failed": cell.failed,
                }
                for cell in self.cells
            ],
        }

    def line(self) -> str:
        """One line for a log."""
        share = f" ({100 * self.rows / self.planned:.0f} %)" if self.planned else ""
        said = [self.state, f"{self.rows:,} of {counted(self.planned, 'row')}{share}"]
        said += [f"{self.failed:,} failed"] if self.failed else []
        if self.state not in ENDED:
            said += [f"{self.rows_a_minute:.3g} rows a minute"] if self.rows_a_minute else []
            said += [f"{lasting(self.seconds_left)} left"] if self.seconds_left is not None else []
            said += [counted(len(self.workers), "worker")] if self.workers else []
            said += [f"at {self.here}"] if self.here and not self.workers else []
        return inert(f"{self.folder}: {', '.join(said)}")


class StatusReader:
    """Reads runs again and again; a file of rows that is as it was is not read twice."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], list[dict[str, Any]], list[Damage]]] = {}

    def read(self, dirs: Iterable[str | Path]) -> list[RunStatus]:
        """The runs in these folders, or in folders inside them.

        Raises:
            UserError: a folder holds no run of ours, or none that can be read.
        """
        folders = [path for path in find_runs(dirs) if path.is_dir()]
        if not folders:
            raise UserError(
                "these folders hold only results that lm-eval itself wrote, which has no state to tell; see `ropepp-eval table`"
            )
        found = [self._read(folder) for folder in folders]
        if all(one.state == "unreadable" for one in found):
            raise UserError(f"no run could be read: {found[0].folder}/run.json: {found[0].notes[0]}; restore the file")
        return found

    def _read(self, folder: Path) -> RunStatus:
        manifest, reason = read_manifest(folder / "run.json")
        if manifest is None:
            return RunStatus(str(folder), "unreadable", notes=(reason,))
        rows, damage = self._rows(folder)
        cells, reasons = _progress(manifest, rows)
        idle = _idle_seconds(folder)
        longest = max((cell.longest_seconds for cell in cells), default=0.0)
        state, said = _state(manifest, idle, longest)
        missing = sum(cell.planned - cell.rows for cell in cells)
        if state == "finished" and missing:
            said.append(f"{counted(missing, 'row')} of it missing; the same command asks them again")
        said += [f"damaged: {one}" for one in damage]
        states = read_states(folder) if state == "running" else WorkerStates()  # of a run that died they say nothing
        said += [state_line(worker) for worker in states.workers]
        said += [f"Ray's page: {states.dashboard}"] if states.dashboard else []
        return RunStatus(str(folder), state, tuple(cells), reasons, tuple(said), idle, states.workers)

    def _rows(self, folder: Path) -> tuple[list[dict[str, Any]], list[Damage]]:
        rows: list[dict[str, Any]] = []
        damage: list[Damage] = []
        for path in rows_files(folder):
            status = path.stat()
            state = (status.st_size, status.st_mtime_ns)
            if path not in self._known or self._known[path][0] != state:
                wanted = (*CELL_FIELDS, "row", "error", "seconds")
                read, met = read_rows_file(folder, path)
                self._known[path] = (state, [{name: row.get(name) for name in wanted} for row in read], met)
            rows += self._known[path][1]
            damage += self._known[path][2]
        return rows, damage


def _progress(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[list[CellProgress], tuple[str, ...]]:
    """The planned cells with what is there of them, and why rows failed."""
    by_cell: dict[tuple[Any, ...], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        kept = by_cell.setdefault(_name_of(row), {})
        before = kept.get(row["row"])
        if before is None or row["error"] is None or before["error"] is not None:  # as tables take them
            kept[row["row"]] = row
    cells, errors = [], []
    for planned in manifest.get("cells", []):
        name, samples = _name_of(planned), planned_here(planned)
        there = [row for number, row in by_cell.get(name, {}).items() if is_planned(planned, number)]
        failed = [row["error"] for row in there if row["error"] is not None]
        seconds = [float(row["seconds"] or 0) for row in there]
        errors += failed
        cells.append(
            CellProgress(
                name,
                len(there) if samples is None else samples,
                len(there),
                len(failed),
                sum(seconds),
                max(seconds, default=0.0),
                planned.get("foreseen_seconds"),
            )
        )
    why = Counter(f"{error['stage']} ({error['type']}: {error['message'].strip()})" for error in errors)
    return cells, tuple(f"{count:,} in {reason[:200]}" for reason, count in why.most_common(_REASONS))


def _name_of(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[field] for field in CELL_FIELDS)


def _idle_seconds(folder: Path) -> float:
    """Since run.json or a file of rows was last written; 0 where that host's clock is ahead."""
    return max(0.0, time.time() - max(os.stat(path).st_mtime for path in (folder / "run.json", *rows_files(folder))))


def goes_on(manifest: Mapping[str, Any]) -> bool:
    """Whether more may come: it has not ended, and its process is not known to be dead."""
    return manifest.get("status") not in _ENDS and is_alive(manifest.get("process") or {}) is not False


def _state(manifest: Mapping[str, Any], idle_seconds: float, longest_seconds: float) -> tuple[str, list[str]]:
    """The state and what explains it."""
    written = manifest.get("status")
    if written in _ENDS:
        return _ENDS[written], ["the same command goes on from there"] if written == "cancelled" else []
    process = manifest.get("process") or {}
    alive, who = is_alive(process), f"process {process.get('pid')} on {process.get('host')}"
    since = f"nothing was written for {lasting(idle_seconds)}"
    if alive is False:
        return "dead", [f"its {who} is gone and {since}; the same command goes on from there"]
    if idle_seconds <= max(PATIENCE_SECONDS, PATIENCE_ROWS * longest_seconds):
        return "running", []
    if alive:
        return "running", [f"{since}, though its {who} lives (the longest row took {lasting(longest_seconds)})"]
    where = f"its {who}" if process else "run.json does not say which process it"
    return "silent", [
        f"{since} (the longest row took {lasting(longest_seconds)}); {where} was can be looked for there; it may be dead"
    ]


def status_table(runs: Sequence[RunStatus]) -> Table:
    """A line a run, and below what a person should know."""
    columns = ("rows", "failed", "rows/min", "left")
    lines = []
    for run in runs:
        left, rate = run.seconds_left, run.rows_a_minute
        going = run.state not in ENDED
        entries = (
            Entry(text=f"{run.rows:,} of {run.planned:,}"),
            Entry(text=f"{run.failed:,}"),
            Entry(text=f"{rate:.3g}" if rate is not None and going else ""),
            Entry(text=lasting(left) if left is not None and going else ""),
        )
        lines.append(Line((run.folder, run.state), entries, ranked=False))
    section = Section("runs", {}, ("run", "state"), columns, tuple(lines), (None,) * len(columns))
    return Table((section,), tuple(_notes(runs)))


def _notes(runs: Sequence[RunStatus]) -> Iterable[str]:
    for run in runs:
        name = f"{run.folder}: "
        yield from (name + note for note in run.notes)
        if (
            run.state not in ENDED and run.here and not run.workers
        ):  # workers take cells in another order, and say where they are
            yield f"{name}at {run.here}, {run.here.rows:,} of {counted(run.here.planned, 'row')}"
        if run.reasons:
            yield f"{name}failed: {'; '.join(run.reasons)}"
