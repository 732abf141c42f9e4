"""A data folder in the layout that `docs/data.md` describes (essays/, gutenberg/, babi/, ...)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ropepp_eval.data.manifest import read_manifest
from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file, hash_json


@dataclass(frozen=True)
class FileState:
    """What tells, without reading a file, that it is still the same one."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state of a file now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class DataFolder:
    """Where a task's corpora come from. `root` None means: nothing at hand, use the generated stand-ins."""

    root: Path | None
    offline: bool = False
    repeat_text: bool = False
    """True where a corpus too small for a length may be used again; otherwise that is an error."""

    _used: dict[Path, FileState] = field(default_factory=dict, compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the files that were asked for so far, names and contents.

        Raises:
            UserError: one of them changed since it was first asked for.
        """
        self.check_unchanged()
        return hash_json({path.relative_to(self.root or path).as_posix(): _cached_hash(path) for path in sorted(self._used)})

    def check_unchanged(self) -> None:
        """Fail where a file that was asked for is another one now: rows made before and after would not belong together.

        Raises:
            UserError: a file changed or went away.
        """
        for path, state in sorted(self._used.items()):
            if not path.is_file() or FileState.of(path) != state:
                raise UserError(
                    f"data file {path} changed while it was being used; put the old one back, or start a new run with the new one"
                )

    def note_used(self, paths: Iterable[Path]) -> None:
        """Count files among those the rows come from."""
        for path in paths:
            self._used.setdefault(path, FileState.of(path))

    def find(self, folder: str, pattern: str) -> list[Path]:
        """Files of `root/folder` that match, in name order; empty where there are none."""
        if self.root is None:
            return []
        found = sorted(path for path in (self.root / folder).glob(pattern) if path.is_file())
        self.note_used(found)
        return found

    def files(self, folder: str, pattern: str) -> list[Path]:
        """Files of `root/folder` that match, in name order; empty where there is no root.

        Raises:
            UserError: there is a root, but it lacks these files.
        """
        found = self.find(folder, pattern)
        if self.root is not None and not found:
            raise UserError(
                f"data folder {self.root} has no {folder}/{pattern}; put the files there, or leave --data-dir out "
                "to use generated text"
            )
        return found


def open_data(path: str | Path | None, *, offline: bool = False, repeat_text: bool = False) -> DataFolder:
    """The data folder at `path`, or stand-ins where `path` is None or was prepared with `--from generated`.

    Raises:
        UserError: `path` is not a folder, or its manifest is broken.
    """
    if path is None:
        return DataFolder(None, offline, repeat_text)
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"data folder {root} is not there; name an existing folder with --data-dir")
    manifest = read_manifest(root)
    generated = manifest is not None and manifest.source == "generated"
    return DataFolder(None if generated else root, offline, repeat_text)


def _cached_hash(path: Path) -> str:
    return _hash_of_state(path, FileState.of(path))


@functools.lru_cache(maxsize=4096)
def _hash_of_state(path: Path, state: FileState) -> str:
    return hash_file(path)
