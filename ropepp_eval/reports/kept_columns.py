"""Columns of rows that were read and checked once, kept beside `rows/`, so that the next report need not read every line again.

    OUT/columns/<folder under rows/>.arrow      a checksum, then an Arrow stream: one table a file of rows

What is kept of a file holds while its size and its times of modification and change are what they were; another file of rows is read
anew and the rest is taken as it is. A file written in the last seconds is not kept, since its next change may have the same times. The
folder may be deleted at any time; few rows get none. One that is damaged, or that another release wrote, is made anew, with a word in the log.
Only folders of one's own are written to, and only what one has written oneself is believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ropepp_eval import __version__
from ropepp_eval.files import write_atomically
from ropepp_eval.records import first_line
from ropepp_eval.reports.columns import SCHEMA

FORMAT = 1
SETTLED_SECONDS = 2.0
"""A file is kept once it was left alone for so long: the clocks of file systems are coarse."""
WORTH_BYTES = 1 << 20
"""Of the rows in one folder; fewer are read as quickly as their columns."""
_RELEASE = f"columns {FORMAT} of ropepp-eval {__version__}".encode()
_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""Size, and times of modification and change in nanoseconds."""


@dataclass(frozen=True)
class Kept:
    """What was read of one file of rows."""

    stamp: Stamp
    table: pa.Table
    """Columns of its readable lines, in their order."""
    damage: tuple[tuple[int, str], ...]
    """Numbers of lines that could not be read, and why."""


def stamp_of(path: Path) -> Stamp:
    """What tells whether a file is still what it was."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class KeptColumns:
    """The columns of the files in one folder under `rows/`, by file name."""

    def __init__(self, run: Path, name: str) -> None:
        self._path = run / "columns" / f"{name}.arrow"
        self._own = _is_own(run)
        self._read = self._load() if self._own and self._path.exists() else {}

    def get(self, path: Path, stamp: Stamp) -> Kept | None:
        """What is kept of a file, if that still holds."""
        kept = self._read.get(path.name)
        return kept if kept is not None and kept.stamp == stamp else None

    def keep(self, found: dict[str, Kept]) -> None:
        """Keep this instead, where it is something else and the folder may be written to."""
        newest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
        settled = {name: kept for name, kept in found.items() if max(kept.stamp[1:]) < newest}
        stamps = [{name: kept.stamp for name, kept in some.items()} for some in (settled, self._read)]
        small = sum(kept.stamp[0] for kept in found.values()) < WORTH_BYTES
        if not self._own or small or not settled or stamps[0] == stamps[1]:
            return
        with contextlib.suppress(OSError):  # a full disk or a read-only one: the report is made all the same
            write_atomically(self._path, _sealed(_stream(settled)))

    def _load(self) -> dict[str, Kept]:
        try:
            release, _, sealed = self._path.read_bytes().partition(b"\n")
            if release != _RELEASE:
                raise ValueError("another release wrote it")
            seal, content = sealed[:32], sealed[32:]
            if hashlib.sha256(content).digest() != seal:
                raise ValueError("its content is not what was written")
            return _from_stream(content)
        except (OSError, ValueError, KeyError, TypeError, StopIteration, pa.ArrowException) as error:
            _log.warning(
                "kept columns %s can't be used (%s); they are made anew from its rows", self._path, first_line(error)
            )
            return {}


def _is_own(run: Path) -> bool:
    try:
        return run.stat().st_uid == os.geteuid() and os.access(run, os.W_OK)
    except OSError:
        return False


def _sealed(content: bytes) -> bytes:
    return b"\n".join([_RELEASE, hashlib.sha256(content).digest() + content])


def _stream(found: dict[str, Kept]) -> bytes:
    about = [[name, kept.stamp, kept.damage, kept.table.num_rows] for name, kept in found.items()]
    buffer = io.BytesIO()
    schema = SCHEMA.with_metadata({"files": json.dumps(about)})
    with pa.ipc.new_stream(buffer, schema) as writer:
        for kept in found.values():
            writer.write_table(kept.table)
    return buffer.getvalue()


def _from_stream(content: bytes) -> dict[str, Kept]:
    with pa.ipc.open_stream(pa.py_buffer(content)) as stream:
        if not stream.schema.equals(SCHEMA):
            raise ValueError("other columns")
        batches = iter(stream)
        found = {}
        for name, stamp, damage, rows in json.loads(stream.schema.metadata[b"files"]):
            table = pa.Table.from_batches([next(batches)] if rows else [], SCHEMA)
            table.validate(full=True)
            if table.num_rows != rows:
                raise ValueError(f"{table.num_rows} rows of {rows}")
            size, modified, changed = stamp
            found[name] = Kept((size, modified, changed), table, tuple((line, reason) for line, reason in damage))
        return found


def files_by_folder(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Files of rows by the name of the folder they lie in."""
    folders: dict[str, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.name, []).append(path)
    return folders
