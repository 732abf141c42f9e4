"""BABILong's published rows in a data folder: `babilong/`, as the hub repository lays it out.

`RMT-team/babilong` has one JSON array a file, `data/qa1/4k.json`; `RMT-team/babilong-1k-samples` has Parquet,
`4k/qa1-00000-of-00001.parquet`. Both hold `input` (the context), `question` and `target`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ropepp_eval.data.folder import DataFolder
from ropepp_eval.errors import UserError

FIELDS = ("input", "question", "target")
_PATTERNS = (
    "{task}/{length}.json",
    "{task}/{length}.parquet",
    "data/{task}/{length}.json",
    "{length}/{task}-*.parquet",
    "{length}/{task}.parquet",
    "data/{length}/{task}-*.parquet",
)


def read_published(data: DataFolder, task: str, length: str) -> list[dict[str, str]] | None:
    """The rows of `task` (`qa1`) at `length` (`4k`), each with `input`, `question` and `target`; None where there are none.

    Raises:
        UserError: a file does not parse or a row lacks a field.
    """
    paths = published_files(data, task, length)
    return [row for path in paths for row in _read(path)] if paths else None


def published_files(data: DataFolder, task: str, length: str) -> list[Path]:
    """The files of `task` at `length` in the first layout that the folder has them in; empty where it has none."""
    for pattern in _PATTERNS:
        paths = data.find("babilong", pattern.format(task=task, length=length))
        if paths:
            return paths
    return []


def _read(path: Path) -> list[dict[str, str]]:
    try:
        rows = _read_parquet(path) if path.suffix == ".parquet" else _read_json(path)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"published rows {path} can't be read ({reason}); get the file anew") from error
    for number, row in enumerate(rows):
        missing = [field for field in FIELDS if not isinstance(row, dict) or not isinstance(row.get(field), str)]
        if missing:
            raise UserError(f"published rows {path}: row {number} has no text in field {missing[0]!r}; get the file anew")
    return [{field: row[field] for field in FIELDS} for row in rows]


def _read_json(path: Path) -> list[Any]:
    """A JSON array, or one object a line."""
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _read_parquet(path: Path) -> list[Any]:
    import pyarrow.parquet

    return list(pyarrow.parquet.read_table(path, columns=list(FIELDS)).to_pylist())
