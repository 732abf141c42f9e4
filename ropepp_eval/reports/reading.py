"""Run folders as they lie on disk: `run.json` and `rows/*/*.jsonl`, with what is damaged in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.manifests import parse_manifest
from ropepp_eval.records import first_line, parse_lines
from ropepp_eval.reports.cell_rows import Rows
from ropepp_eval.reports.columns import cell_names, columns_of, of_cell
from ropepp_eval.reports.kept_columns import Kept, KeptColumns, files_by_folder, stamp_of

CellPart = tuple[tuple[Any, ...], Rows]
"""`records.CELL_FIELDS` of a cell, and some of its rows in the order in which they were written."""


@dataclass(frozen=True)
class Damage:
    """One thing on disk that could not be read. The rest is reported without it."""

    file: str
    """Path inside the run folder, after the folder's own name."""
    line: int | None
    """Line number from 1, or None for the whole file."""
    reason: str
    task: str = ""
    """The task that lost rows by it, where the file's name does not say."""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class RunFolder:
    """One run: its manifest and its readable row lines."""

    name: str
    """`run_id`, or the folder's name where the manifest has none."""
    folder: str
    """Where it lies, as the user wrote it; for messages only."""
    manifest: Mapping[str, Any]
    rows: tuple[CellPart, ...]
    damage: tuple[Damage, ...]

    @property
    def age(self) -> tuple[str, str]:
        """What `latest` sorts by: the time of creation as written, then the name."""
        return str(self.manifest.get("created", "")), self.name


def read_run(folder: Path) -> tuple[RunFolder | None, list[Damage]]:
    """The run in a folder that holds `run.json` (None where that can't be read), and all damage met."""
    manifest, reason = read_manifest(folder / "run.json")
    if manifest is None:
        return None, [Damage(f"{folder.name}/run.json", None, reason)]
    rows, damage = _read_rows(folder)
    name = str(manifest.get("run_id") or folder.name)
    return RunFolder(name, str(folder), manifest, tuple(rows), tuple(damage)), damage


def read_manifest(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The manifest in a file, or None and why it is none."""
    try:
        return parse_manifest(path.read_bytes())
    except OSError as error:
        return None, f"not readable ({first_line(error)})"


def _read_rows(folder: Path) -> tuple[list[CellPart], list[Damage]]:
    parts: list[CellPart] = []
    damage: list[Damage] = []
    for name, paths in files_by_folder(rows_files(folder)).items():
        columns = KeptColumns(folder, name)
        found: dict[str, Kept] = {}
        for path in paths:
            try:
                kept = _read_columns(path, columns)
            except OSError as error:
                damage.append(Damage(_shown_name(folder, path), None, f"not readable ({first_line(error)})"))
                continue
            found[path.name] = kept
            damage += [Damage(_shown_name(folder, path), line, reason) for line, reason in kept.damage]
            parts += _parts_of(path, kept)
        columns.keep(found)
    return parts, damage


def _read_columns(path: Path, columns: KeptColumns) -> Kept:
    """What is kept of a file, or what its lines say."""
    stamp = stamp_of(path)
    kept = columns.get(path, stamp)
    if kept is None:
        records, damage = parse_lines(path.read_bytes())
        kept = Kept(stamp, columns_of(records), tuple(damage))
    return kept


def _parts_of(path: Path, kept: Kept) -> list[CellPart]:
    """The rows of a file by cell; they are of one, if nobody has moved lines about."""
    rows = Rows(kept.table, lambda: _records(path, kept.table.num_rows))
    names = cell_names(kept.table)
    if len(names) == 1:
        return [(names[0], rows)]
    return [(name, rows.take(of_cell(kept.table, number))) for number, name in enumerate(names)]


def _records(path: Path, count: int) -> list[dict[str, Any]]:
    """The records of the first `count` readable lines: a run that goes on may have added some."""
    try:
        records = parse_lines(path.read_bytes())[0]
    except OSError as error:
        raise UserError(f"{inert(path)} can't be read any more ({first_line(error)}); run the command again") from error
    if len(records) < count:
        raise UserError(f"{inert(path)} lost rows while it was read; run the command again")
    return records[:count]


def _shown_name(folder: Path, path: Path) -> str:
    return f"{folder.name}/{path.relative_to(folder).as_posix()}"


def rows_files(folder: Path) -> list[Path]:
    """The files that a run keeps its rows in."""
    return sorted(folder.glob("rows/*/*.jsonl"))


def read_rows_file(folder: Path, path: Path) -> tuple[list[dict[str, Any]], list[Damage]]:
    """The readable rows of one of them, and the damage met."""
    name = _shown_name(folder, path)
    try:
        content = path.read_bytes()
    except OSError as error:
        return [], [Damage(name, None, f"not readable ({first_line(error)})")]
    good, bad = parse_lines(content)
    return good, [Damage(name, line, reason) for line, reason in bad]
