"""The run folder: `run.json` says what the run is, `rows/` holds every answer, one JSON line a row, durable as it is made."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_atomically, write_json
from ropepp_eval.manifests import parse_manifest
from ropepp_eval.processes import this_process
from ropepp_eval.records import line_of, parse_line
from ropepp_eval.runs.plan import Cell

LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")  # a carriage return ends no line


class RunStore:
    """One run's folder, open for writing by one process.

    Raises (from `open`):
        UserError: the folder belongs to another run, is no run folder, or another process is writing into it.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.damage: list[str] = []
        """Lines met that are no records of ours: their rows are asked again."""
        self._files: dict[Path, BinaryIO] = {}
        self._lock: BinaryIO | None = None

    @classmethod
    def open(cls, folder: Path, manifest: dict[str, Any]) -> RunStore:
        """Open `folder` for the run that `manifest` describes, making it where it is not there."""
        refuse_foreign(folder, manifest)
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, manifest)
        store._take_lock()
        try:
            earlier = read_manifest(folder)
            if earlier is not None:  # keep when it began; everything else is equal or is about this process
                kept = ("run_id", "created", "rescored")
                store.manifest = {**manifest, **{name: earlier[name] for name in kept if name in earlier}}
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

    def path_of(self, cell: Cell) -> Path:
        """The file of a cell's rows."""
        return self.folder / "rows" / cell.checkpoint.folder_name / f"{cell.task.name}@{cell.length_tokens}.jsonl"

    def note_status(self, status: str) -> None:
        """Write how the run ended, where that can be written: a full disk must not hide why it ended."""
        with contextlib.suppress(OSError):
            self.write_manifest(status=status)

    def finished(self, cell: Cell, *, retry_failed: bool = False) -> dict[str, dict[str, Any]]:
        """Records of the cell by key. Lines that a crash cut, or that can't be read, are taken out of the file."""
        path = self.path_of(cell)
        records, kept, damage = self._read(cell, retry_failed)
        self.damage += damage
        if path.exists() and sum(map(len, kept)) != path.stat().st_size:
            write_atomically(path, b"".join(kept))
        return records

    def records(self, cell: Cell, *, retry_failed: bool = False) -> dict[str, dict[str, Any]]:
        """As `finished`, but nothing is written."""
        return self._read(cell, retry_failed)[0]

    def _read(self, cell: Cell, retry_failed: bool) -> tuple[dict[str, dict[str, Any]], list[bytes], list[str]]:
        """Records by key, their lines, and the lines that are no records of ours."""
        path = self.path_of(cell)
        content = path.read_bytes() if path.exists() else b""
        records: dict[str, dict[str, Any]] = {}
        kept: list[bytes] = []
        damage: list[str] = []
        for number, line in enumerate(LINE.findall(content), start=1):
            record, reason = parse_line(line)
            if record is None or "key" not in record:
                if line.endswith(b"\n"):  # one without its end is what a crash leaves
                    damage.append(f"{path.relative_to(self.folder)}, line {number}: {reason or 'a row without key'}")
                continue
            if (retry_failed and record["error"] is not None) or record["key"] in records:
                continue
            records[record["key"]] = record
            kept.append(line)
        return records, kept, damage

    def append(self, cell: Cell, record: dict[str, Any]) -> None:
        """Add one row's record and flush it to disk before returning."""
        path = self.path_of(cell)
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[path] = open(path, "ab", buffering=0)  # noqa: SIM115 (kept open for the run)
        data = line_of(record)
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


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """`run.json` of a run folder, or None where there is none.

    Raises:
        UserError: it can't be read.
    """
    path = folder / "run.json"
    if not path.exists():
        return None
    manifest, reason = parse_manifest(path.read_bytes())
    if manifest is None or "identity" not in manifest:
        raise UserError(
            f"{path} can't be read as a run ({reason or 'no `identity`'}); choose another --out or restore the file"
        )
    return manifest


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


def refuse_foreign(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise UserError where `folder` is not free for the run of `manifest` and not this run's either."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {folder} is a file; name a folder with --out")
    earlier = read_manifest(folder)
    if earlier is None:
        strangers = [p.name for p in folder.iterdir() if p.name not in (".lock", "rows")] if folder.is_dir() else []
        strangers = [
            name for name in strangers if not name.startswith(".run.json.")
        ]  # left by a crash while writing run.json
        if strangers:
            raise UserError(
                f"output folder {folder} holds other files ({', '.join(sorted(strangers)[:3])}); name an empty or new one with --out"
            )
        return
    theirs, ours = earlier["identity"], manifest["identity"]
    different = [f"{name} was {_short(was)}, is {_short(now)}" for name, was, now in _differences(theirs, ours)]
    if different:
        raise UserError(
            f"output folder {folder} belongs to another run ({'; '.join(different[:3])}); choose another --out, or repeat "
            "that run's command"
        )


def _differences(theirs: Any, ours: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, their value, our value) of every innermost field that is not equal."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for field in dict.fromkeys([*ours, *theirs]):
            yield from _differences(theirs.get(field), ours.get(field), f"{name} {field}".strip())
    elif theirs != ours:
        yield name, theirs, ours


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= 60 else text[:57] + "..."
