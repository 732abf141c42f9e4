"""BABILong's published rows in a data folder: `babilong/`, as the hub repository lays it out.

`RMT-team/babilong` has one JSON array a file, `data/qa1/4k.json`; `RMT-team/babilong-1k-samples` has Parquet,
`4k/qa1-00000-of-00001.parquet`. Both hold `input` (the context), `question` and `target`.
"""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.data.folder import DataFolder
from ropepp_eval.data.left_out import LeftOut
from ropepp_eval.data.text_files import read_json_records
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Outside, checked

_PATTERNS = (
    "{task}/{length}.json",
    "{task}/{length}.parquet",
    "data/{task}/{length}.json",
    "{length}/{task}-*.parquet",
    "{length}/{task}.parquet",
    "data/{length}/{task}-*.parquet",
)


class PublishedRow(Outside):
    """One published row."""

    input: str
    """The context: background with the facts in it."""
    question: str
    target: str


def read_published(data: DataFolder, task: str, length: str) -> tuple[list[PublishedRow], str] | None:
    """The rows of `task` (`qa1`) at `length` (`4k`) that have an answer, and what was left out; None where there are none.

    Raises:
        UserError: a file does not parse or a row lacks a field.
    """
    paths = published_files(data, task, length)
    if not paths:
        return None
    rows = [row for path in paths for row in _read(path)]
    left_out = LeftOut()
    for number, row in enumerate(rows):
        if not row.target.strip():
            left_out.add(f"row {number}", "without a reference answer")
    kept = [row for row in rows if row.target.strip()]
    left_out.check(len(kept), paths)
    return kept, left_out.in_words(len(kept))


def published_files(data: DataFolder, task: str, length: str) -> list[Path]:
    """The files of `task` at `length` in the first layout that the folder has them in; empty where it has none."""
    for pattern in _PATTERNS:
        paths = data.find("babilong", pattern.format(task=task, length=length))
        if paths:
            return paths
    return []


def _read(path: Path) -> list[PublishedRow]:
    if path.suffix != ".parquet":
        return read_json_records(path, PublishedRow)
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path, columns=list(PublishedRow.model_fields)).to_pylist()
    except (ValueError, OSError) as error:
        reason = inert((str(error).splitlines() or [type(error).__name__])[0])
        raise UserError(f"published rows {inert(path)} can't be read ({reason}); get the file anew") from error
    where = f"published rows {inert(path)}"
    return [
        checked(row, PublishedRow, f"{where}: row {number}", advice="get the file anew") for number, row in enumerate(rows)
    ]
