"""lm-eval's index of its own tasks, made once a session: it reads 14,000 YAML files anew for each `TaskManager`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def remember(file: Path) -> None:
    """Let lm-eval take the content of its own YAML files from `file`, which is written where it is missing. Its index is still built by it."""
    from lm_eval.tasks import _index

    if hasattr(_index.load_yaml, "read_once"):
        return
    own = Path(_index.__file__).parent
    listed, read = _index.TaskIndex._iter_yaml_files, _index.load_yaml
    contents: dict[Path, bytes] = {}

    def files(root: Path) -> Iterable[Path]:
        if root != own:
            return listed(root)
        if not contents:
            if not file.exists():
                _write(file, {path: _content(read, path) for path in listed(own)})
            contents.update(pickle.loads(file.read_bytes()))  # noqa: S301 (written by this session)
        return list(contents)

    def load_yaml(path: Path, *, resolve_func: bool = True, recursive: bool = True) -> Any:
        if path not in contents or resolve_func or not recursive:
            return read(path, resolve_func=resolve_func, recursive=recursive)
        content = pickle.loads(contents[path])  # noqa: S301
        if content is None:
            raise ValueError(f"{path} is no task")
        return content

    load_yaml.read_once = True  # type: ignore[attr-defined]
    _index.TaskIndex._iter_yaml_files = staticmethod(files)
    _index.load_yaml = load_yaml


def _content(read: Any, path: Path) -> bytes:
    """A file as lm-eval reads it, or None where it passes over it."""
    try:
        return pickle.dumps(read(path, resolve_func=False, recursive=True))
    except Exception:
        return pickle.dumps(None)


def _write(file: Path, contents: dict[Path, bytes]) -> None:
    """Whole or not at all: other processes of the session may be at it too."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_bytes(pickle.dumps(contents))
    part.rename(file)
