"""A data folder in the layout that `docs/data.md` describes (essays/, gutenberg/, babi/, ...)."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file, hash_json


@dataclass(frozen=True)
class DataFolder:
    """Where a task's corpora come from. `root` None means: nothing at hand, use the generated stand-ins."""

    root: Path | None
    offline: bool = False
    repeat_text: bool = False
    """True where a corpus too small for a length may be used again; otherwise that is an error."""

    _used: set[Path] = field(default_factory=set, compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the files that were asked for so far, names and contents."""
        return hash_json({path.relative_to(self.root or path).as_posix(): _cached_hash(path) for path in sorted(self._used)})

    def files(self, folder: str, pattern: str) -> list[Path]:
        """Files of `root/folder` that match, in name order; empty where there is no root.

        Raises:
            UserError: there is a root, but it lacks these files.
        """
        if self.root is None:
            return []
        found = sorted((self.root / folder).glob(pattern))
        if not found:
            raise UserError(
                f"data folder {self.root} has no {folder}/{pattern}; put the files there, or leave --data-dir out "
                "to use generated text"
            )
        self._used.update(found)
        return found


def open_data(path: str | Path | None, *, offline: bool = False, repeat_text: bool = False) -> DataFolder:
    """The data folder at `path`, or stand-ins where `path` is None.

    Raises:
        UserError: `path` is not a folder.
    """
    if path is None:
        return DataFolder(None, offline, repeat_text)
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"data folder {root} is not there; name an existing folder with --data-dir")
    return DataFolder(root, offline, repeat_text)


def _cached_hash(path: Path) -> str:
    state = path.stat()
    return _hash_of_state(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash_of_state(path: Path, size: int, modified_ns: int) -> str:
    return hash_file(path)
