"""lm-eval's index of its own tasks, made once a run of the tests: it reads 14,000 YAML files anew for each `TaskManager`."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def remember(file: Path) -> None:
    """Let lm-eval take the content of its own YAML files from `file`, which is written where it is missing. Its index is still built by it."""
    from lm_eval.tasks import _index

    if hasattr(_index.load_yaml, "read_once"):
        return
    own = Path(_index.__file__).parent
    listed, read = _index.TaskIndex._iter_yaml_files, _index.load_yaml
    contents: dict[Path, bytes | None] = {}

    def files(root: Path) -> Iterable[Path]:
        if root != own:
            return listed(root)
        if not contents:
            with open(f"{file}.lock", "w") as lock:  # others of the same run wait rather than read them too
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not file.exists():
                    _write(file, {path: _content(read, path) for path in listed(own)})
            contents.update(pickle.loads(file.read_bytes()))  # noqa: S301 (written by this run of the tests)
        return list(contents)

    def load_yaml(path: Path, *, resolve_func: bool = True, recursive: bool = True) -> Any:
        content = contents.get(path)
        if content is None or resolve_func or not recursive:
            return read(path, resolve_func=resolve_func, recursive=recursive)
        return pickle.loads(content)  # noqa: S301

    load_yaml.read_once = True  # type: ignore[attr-defined]
    _index.TaskIndex._iter_yaml_files = staticmethod(files)
    _index.load_yaml = load_yaml


def _content(read: Any, path: Path) -> bytes | None:
    """A file as lm-eval reads it; None where it can't be read, which lm-eval then finds for itself, with its own error."""
    try:
        return pickle.dumps(read(path, resolve_func=False, recursive=True))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _write(file: Path, contents: dict[Path, bytes | None]) -> None:
    """Whole or not at all: a process may be killed while it writes."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_bytes(pickle.dumps(contents))
    part.rename(file)
