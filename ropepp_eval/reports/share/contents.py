"""What is shared: cells with their rows, their values, and what the runs recorded; the same for every form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cell, CellName, Cells
from ropepp_eval.reports.frame import result_of
from ropepp_eval.reports.measures import Part, measure_interval
from ropepp_eval.reports.naming import Checkpoint, checkpoint_labels, checkpoint_of, counted
from ropepp_eval.reports.reading import read_manifest
from ropepp_eval.reports.row_views import PromptOf, RowView, row_views

_RESERVED = {"con", "prn", "aux", "nul", "data", "unknown", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@dataclass(frozen=True, eq=False)
class Shared:
    """Results on their way out."""

    cells: Cells
    views: tuple[RowView, ...]
    prompt_of: PromptOf | None = None
    """None: prompts stay here, since corpora have owners."""
    _manifests: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def labels(self) -> dict[Checkpoint, str]:
        return checkpoint_labels(self.cells.cells)

    def each(self) -> Iterator[tuple[Cell, list[RowView]]]:
        """Every cell with its rows."""
        rows: dict[CellName, list[RowView]] = {cell.name: [] for cell in self.cells.cells}
        for view in self.views:
            rows[view.cell.name].append(view)
        for cell in self.cells.cells:
            yield cell, rows[cell.name]

    def manifest(self, cell: Cell) -> Mapping[str, Any]:
        """`run.json` of the run that the cell came from; empty for files of lm-eval's."""
        if cell.folder not in self._manifests:
            self._manifests[cell.folder] = read_manifest(Path(cell.folder, "run.json"))[0] or {}
        return self._manifests[cell.folder]

    def facts(self, cell: Cell) -> dict[str, Any]:
        """How the cell was computed: settings, versions, commit. No path of this machine is among them."""
        manifest = self.manifest(cell)
        known = {name: cell.settings.get(name) for name in ("backend", "dtype", "device", "attention", "harness")}
        known |= {"commit": manifest.get("commit"), "seeds": list(cell.seeds) or None, "versions": manifest.get("versions")}
        return {name: value for name, value in known.items() if value is not None}

    def times(self, cell: Cell) -> tuple[datetime, datetime]:
        """When the run began and ended, as far as `run.json` says it; the beginning of 1970 stands for not known."""
        begun = _time(self.manifest(cell).get("created")) or datetime.fromtimestamp(0, UTC)
        return begun, _time(self.manifest(cell).get("finished")) or begun


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def shared_of(cells: Cells, prompt_of: PromptOf | None = None) -> Shared:
    """The cells and all their rows.

    Raises:
        UserError: there is no row and no value, or every row failed.
    """
    rows = [row for cell in cells.cells for row in cell.rows]
    if not any(cell.reported for cell in cells.cells):
        if not rows:
            raise UserError(
                "these results hold no row yet, so there is nothing to share; `ropepp-eval status` says how far it is"
            )
        failures = [row["error"] for row in rows if row["error"] is not None]
        if len(failures) == len(rows):
            raise UserError(
                f"all of {counted(len(rows), 'row')} failed ({inert(failures[0]['type'])}: {inert(failures[0]['message'])[:120]}), so there "
                "is nothing to share; `ropepp-eval rows DIR --failed` lists them"
            )
    return Shared(cells, tuple(row_views(cells)), prompt_of)


def of_checkpoint(cells: Cells, wanted: Checkpoint) -> Cells:
    """The cells of one checkpoint."""
    return replace(cells, cells=tuple(cell for cell in cells.cells if checkpoint_of(cell) == wanted))


def value_of(cell: Cell, metric: str) -> dict[str, Any]:
    """One line of `frame.read_results`, with its 95 % interval as `low` and `high` (None where there is none), unscaled."""
    low, high = measure_interval((Part(1.0, cell, metric),)) or (None, None)
    return {**result_of(cell, metric), "low": low, "high": high}


def in_metric(view: RowView, metric: str) -> RowView:
    """The same row, judged by another metric of its task."""
    return replace(view, metric=metric)


def portable_name(text: str) -> str:
    """`text` where every file system takes it as a name, else what is left of it with a hash that tells it from others."""
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", text) is not None and not text.endswith(".")
    if plain and text.split(".")[0].lower() not in _RESERVED:
        return text
    kept = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:60]
    return f"{kept or 'unnamed'}-{short_hash(text)}"


def short_hash(*parts: object) -> str:
    """Eight hexadecimal digits that tell these parts from others."""
    return long_hash(*parts)[:8]


def long_hash(*parts: object) -> str:
    """SHA-256 of the parts; the same parts have it everywhere."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()


def task_at_length(cell: Cell) -> str:
    """`TASK@4k`, as lm-eval's command line calls a task of ours at a length; the task alone where it takes no length."""
    return cell.name.task if cell.name.length == "any" else f"{cell.name.task}@{cell.name.length}"
