"""Run folders as they lie on disk: `run.json` and `rows/*/*.jsonl`, with what is damaged in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORE_FORMAT = 1
ROW_FIELDS = (
    "checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol", "seed",
    "tokenizer_sha256", "row", "row_sha256", "scores", "error",
)  # fmt: skip
"""What a line must hold to be counted; the other columns may be missing."""
CELL_FIELDS = ("checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol")


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
    manifest, reason = _read_manifest(folder / "run.json")
    if manifest is None:
        return None, [Damage(f"{folder.name}/run.json", None, reason)]
    rows, damage = _read_rows(folder)
    name = str(manifest.get("run_id") or folder.name)
    return RunFolder(name, str(folder), manifest, tuple(rows), tuple(damage)), damage


def _read_manifest(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return None, f"not readable ({first_line(error)})"
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tasks"), dict):
        return None, "not a run's manifest (no `tasks`)"
    if manifest.get("format") != STORE_FORMAT:
        return None, f"format {manifest.get('format')!r}, this release reads {STORE_FORMAT}"
    planned = manifest.get("cells", [])
    if not isinstance(planned, list) or not all(isinstance(cell, dict) and {*CELL_FIELDS} <= {*cell} for cell in planned):
        return None, "a planned cell without its name"
    return manifest, ""


def _read_rows(folder: Path) -> tuple[list[dict[str, Any]], list[Damage]]:
    rows: list[dict[str, Any]] = []
    damage: list[Damage] = []
    for path in sorted(folder.glob("rows/*/*.jsonl")):
        name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        try:
            content = path.read_bytes()
        except OSError as error:
            damage.append(Damage(name, None, f"not readable ({first_line(error)})"))
            continue
        good, bad = parse_lines(content)
        rows.extend(good)
        damage.extend(Damage(name, line, reason) for line, reason in bad)
    return rows, damage


def parse_lines(content: bytes) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows of one `.jsonl` file, and (line number, reason) of each line that is damaged.

    A last line without its line end is what a crash leaves: it is dropped without a word, since the runner redoes it.
    """
    rows: list[dict[str, Any]] = []
    damage: list[tuple[int, str]] = []
    *whole, tail = content.split(b"\n")
    for number, line in enumerate([*whole, tail], start=1):
        if not line.strip():
            continue
        row, reason = _parse_line(line)
        if row is not None:
            rows.append(row)
        elif number <= len(whole):
            damage.append((number, reason))
    return rows, damage


def _parse_line(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return None, f"not JSON ({first_line(error)})"
    if not isinstance(row, dict):
        return None, "not a row"
    missing = [name for name in ROW_FIELDS if name not in row]
    if missing:
        return None, f"a row without {', '.join(missing)}"
    if row.get("format", STORE_FORMAT) != STORE_FORMAT:
        return None, f"format {row['format']!r}, this release reads {STORE_FORMAT}"
    wrong = _wrong_field(row)
    return (None, f"a row whose {wrong} is not what a run writes") if wrong else (row, "")


def _wrong_field(row: dict[str, Any]) -> str:
    """The first field of a wrong kind, or nothing."""
    if not isinstance(row["row"], int) or not isinstance(row["length_tokens"], int) or row["length_tokens"] < 0:
        return "row number or length"
    if not all(isinstance(row[name], str) for name in (*CELL_FIELDS[:5], "protocol", "row_sha256")):
        return "name or hash"
    if not isinstance(row["error"], (dict, type(None))):
        return "error"
    if not isinstance(row["scores"], (dict, type(None))):
        return "scores"
    scores = (row["scores"] or {}).values()
    return "" if all(score is None or _is_score(score) for score in scores) else "score"


def _is_score(score: object) -> bool:
    """A number, or a pair of numbers."""
    parts = score if isinstance(score, list) and len(score) == 2 else [score]
    return all(isinstance(part, (int, float)) for part in parts)


def first_line(error: Exception) -> str:
    """Of the error's message; its kind where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
