"""Run folders as they lie on disk: `run.json` and `rows/*/*.jsonl`, with what is damaged in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.manifests import parse_manifest
from ropepp_eval.records import first_line, parse_lines


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
    rows: tuple[dict[str, Any], ...]
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


def _read_rows(folder: Path) -> tuple[list[dict[str, Any]], list[Damage]]:
    rows: list[dict[str, Any]] = []
    damage: list[Damage] = []
    for path in rows_files(folder):
        good, bad = read_rows_file(folder, path)
        rows += good
        damage += bad
    return rows, damage


def rows_files(folder: Path) -> list[Path]:
    """The files that a run keeps its rows in."""
    return sorted(folder.glob("rows/*/*.jsonl"))


def read_rows_file(folder: Path, path: Path) -> tuple[list[dict[str, Any]], list[Damage]]:
    """The readable rows of one of them, and the damage met."""
    name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    try:
        content = path.read_bytes()
    except OSError as error:
        return [], [Damage(name, None, f"not readable ({first_line(error)})")]
    good, bad = parse_lines(content)
    return good, [Damage(name, line, reason) for line, reason in bad]
