"""The run folder: `run.json` says what the run is, `rows/` holds every answer, one JSON line a row, durable as it is made."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_atomically, write_json
from ropepp_eval.manifests import is_planned, parse_manifest, planned_here
from ropepp_eval.processes import this_process
from ropepp_eval.records import line_of, parse_line
from ropepp_eval.runs.growth import grown, open_to_runs, read_manifest, refuse_changes


class StoredCell(Protocol):
    """What the store asks of a cell."""

    @property
    def file(self) -> str:
        """Of the cell's rows, inside `rows/`."""


LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")  # a carriage return ends no line


class RunStore:
    """One run's folder, open for writing by one process.

    Raises (from `open`):
        UserError: the folder belongs to another run, is no run folder, or another process is writing into it.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.earlier: dict[str, Any] | None = None
        """What `run.json` was when the folder was opened; None where there was none."""
        self.damage: list[str] = []
        """Lines met that are no records of ours: their rows are asked again."""
        self._files: dict[Path, BinaryIO] = {}
        self._lock: BinaryIO | None = None

    @classmethod
    def open(cls, folder: Path, manifest: dict[str, Any]) -> RunStore:
        """Open `folder` for the run that `manifest` describes, making it where it is not there."""
        open_to_runs(folder)
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, manifest)
        store._take_lock()
        try:
            store.earlier = read_manifest(folder)
            if store.earlier is not None:
                refuse_changes(folder, store.earlier, manifest["identity"])  # another process may have written it meanwhile
                store.manifest = grown(store.earlier, manifest)
            store.write_manifest(process=this_process())
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def reopen(cls, folder: Path) -> RunStore:
        """Open a folder that holds a run, to change what is there.

        Raises:
            UserError: it holds none, or another process is writing into it.
        """
        store = cls(folder, manifest_there(folder))
        store._take_lock()
        store.manifest = manifest_there(folder)  # from now on nobody else changes it
        return store

    def _take_lock(self) -> None:
        lock = open(self.folder / ".lock", "wb")  # noqa: SIM115 (held until close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UserError(
                f"run folder {self.folder} is being written by another process; wait for it or choose another --out"
            ) from None
        self._lock = lock

    def write_manifest(self, **changes: Any) -> None:
        """Write `run.json` again with `changes`."""
        self.manifest = {**self.manifest, **changes}
        write_json(self.folder / "run.json", self.manifest)

    def path_of(self, cell: StoredCell) -> Path:
        """The file of a cell's rows."""
        return self.folder / "rows" / cell.file

    @property
    def is_whole(self) -> bool:
        """Whether every cell that was ever planned here has all its rows."""
        for planned in self.manifest["cells"]:
            name = folder_name(planned["checkpoint"], planned["checkpoint_sha256"])
            path = self.folder / "rows" / name / f"{planned['task']}@{planned['length_tokens']}.jsonl"
            there = {record["row"] for record, _ in _each_line(path) if is_planned(planned, record["row"])}
            if len(there) < (planned_here(planned) or 0):
                return False
        return True

    def records_in(self, other: Path, cell: StoredCell) -> dict[str, dict[str, Any]]:
        """Records of the cell by key that another run's folder holds, as far as they can be read."""
        return {record["key"]: record for record, _ in _each_line(other / self.path_of(cell).relative_to(self.folder))}

    def note_status(self, status: str) -> None:
        """Write how the run ended, where that can be written: a full disk must not hide why it ended."""
        with contextlib.suppress(OSError):
            self.write_manifest(status=status)

    def finished(self, cell: StoredCell, *, retry_failed: bool = False) -> dict[str, dict[str, Any]]:
        """Records of the cell by key. Lines that a crash cut, or that can't be read, are taken out of the file."""
        path = self.path_of(cell)
        damage: list[str] = []
        read = list(_each_line(path, retry_failed, damage))
        self.damage += [f"{path.relative_to(self.folder)}, {said}" for said in damage]
        if path.exists() and sum(len(line) for _, line in read) != path.stat().st_size:
            write_atomically(path, b"".join(line for _, line in read))
        return {record["key"]: record for record, _ in read}

    def records(self, cell: StoredCell, *, retry_failed: bool = False) -> Iterator[dict[str, Any]]:
        """Records of the cell, each key once. Nothing is written, and a record is held no longer than the caller holds it."""
        return (record for record, _ in _each_line(self.path_of(cell), retry_failed))

    def append(self, cell: StoredCell, *records: dict[str, Any]) -> None:
        """Add records of rows and flush them to disk before returning."""
        path = self.path_of(cell)
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[path] = open(path, "ab", buffering=0)  # noqa: SIM115 (kept open for the run)
        data = b"".join(map(line_of, records))
        written = file.write(data)
        if written != len(data):  # a full disk takes what fits; the cut line is dropped when the run goes on
            file.write(data[written:])
        os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _each_line(
    path: Path, retry_failed: bool = False, damage: list[str] | None = None
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each record of a file with its line, the first of each key; what is said of lines that are no records goes to `damage`."""
    seen: set[str] = set()
    for number, found in enumerate(LINE.finditer(path.read_bytes() if path.exists() else b""), start=1):
        line = found[0]
        record, reason = parse_line(line)
        if record is None or "key" not in record:
            if line.endswith(b"\n") and damage is not None:  # one without its end is what a crash leaves
                damage.append(f"line {number}: {reason or 'a row without key'}")
        elif not (retry_failed and record["error"] is not None) and record["key"] not in seen:
            seen.add(record["key"])
            yield record, line


def manifest_there(folder: Path) -> dict[str, Any]:
    """`run.json` of a folder that must hold a run.

    Raises:
        UserError: it holds none, or one that can't be read.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise UserError(f"{folder} is no run folder (it holds no run.json); name one that `ropepp-eval run --out` made")
    manifest, reason = parse_manifest(path.read_bytes())
    if manifest is None:
        raise UserError(f"{path} is {reason}; restore the file, or run the evaluation again in another folder")
    return manifest


def folder_name(label: str, sha256: str) -> str:
    """Name of a checkpoint's folder under `rows/`: readable, and never shared by two checkpoints."""
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', label)}-{sha256[:8]}"
