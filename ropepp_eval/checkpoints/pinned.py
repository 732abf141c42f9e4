"""A file that must stay what it was when it was first looked at: pinned by what the system says of it, and opened only as that."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import LIMITS, Limits

_TICK_NS = 20_000_000  # file systems take times from a clock that moves every 1 to 10 ms
_MOST_WAITS = 100


@dataclass(frozen=True)
class PinnedFile:
    """A plain file and what proves that nobody wrote to it or put another in its place. The change time can't be set back by hand."""

    path: Path
    device: int
    inode: int
    size: int
    """In bytes."""
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> PinnedFile:
        """The file as it is now. Raises UserError where it is missing, no plain file, or being written to.

        It waits until the file's last change lies a clock's tick back, so that every later change has another time.
        """
        found = _pin(path)
        for _ in range(_MOST_WAITS):
            if time.time_ns() - found.changed_ns >= _TICK_NS:
                return found
            time.sleep(_TICK_NS / 1e9)
            before, found = found, _pin(path)
            if found == before:
                return found
        raise UserError(f"{inert(path)} is being written to; wait until it is whole")

    @property
    def as_json(self) -> list[str | int]:
        """For another process, which compares it with what it finds."""
        return [str(self.path), *dataclasses.astuple(self)[1:]]

    @contextlib.contextmanager
    def open(self) -> Iterator[BufferedReader]:
        """Its bytes. Raises UserError where it is another file than the pinned one, before or after what is done with it."""
        try:
            stream = self.path.open("rb")
        except OSError as error:
            raise UserError(f"{inert(self.path)} can't be read ({error.strerror or error}); check it") from error
        with stream:
            self._compare(os.fstat(stream.fileno()))
            yield stream
            self._compare(os.fstat(stream.fileno()))

    def read(self, limits: Limits = LIMITS) -> bytes:
        """All bytes of a small file. Raises UserError where it has more than the limit."""
        if self.size > limits.size_bytes:
            raise UserError(f"{inert(self.path)} has {self.size:,} bytes; at most {limits.size_bytes:,} are read")
        with self.open() as stream:
            return stream.read()

    @property
    def sha256(self) -> str:
        """Hash of its bytes; a file that stayed the same is read once."""
        return _sha256(self)

    def _compare(self, now: os.stat_result) -> None:
        if _state(self.path, now) != self:
            raise UserError(f"{inert(self.path)} changed while it was in use; run again when it stays as it is")


def _pin(path: Path) -> PinnedFile:
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{inert(path)} can't be read ({error.strerror or error}); check it") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{inert(path)} is no plain file; put the file itself there")
    return _state(path, found)


def _state(path: Path, found: os.stat_result) -> PinnedFile:
    return PinnedFile(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.lru_cache(maxsize=1024)
def _sha256(file: PinnedFile) -> str:
    with file.open() as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
