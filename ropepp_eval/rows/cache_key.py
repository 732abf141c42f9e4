"""Where rows are kept: one file a cell, named by the hash of everything its rows depend on.

`ROPEPP_EVAL_CACHE` names the folder (default: `ropepp-eval` in the user's cache folder); `off` turns the cache off.
"""

from __future__ import annotations

import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ropepp_eval.hashing import hash_file, hash_json
from ropepp_eval.rows.row import RowBuilder, RowRequest
from ropepp_eval.rows.task_folders import TaskFolder, folder_of_module, task_folders

FORMAT = 2
_PACKAGES = ("wonderwords", "nltk")
"""Packages whose word lists and rules get into rows."""


def cache_folder() -> Path | None:
    """Where rows are kept, or None where the cache is off."""
    named = os.environ.get("ROPEPP_EVAL_CACHE")
    if named is not None:
        return None if named.strip() in ("", "off") else Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ropepp-eval"


def cache_file(request: RowRequest, build: RowBuilder) -> Path | None:
    """The file of a request's cell; None where the cache is off or the builder lies in no task folder, so that what its rows depend on
    is not known."""
    folder, tasks = cache_folder(), folder_of_module(getattr(build, "__module__", ""))
    if folder is None or tasks is None:
        return None
    key = {
        "format": FORMAT,
        "task": request.task,
        "length_tokens": request.length_tokens,
        "seed": request.seed,
        "protocol": request.protocol,
        "tokenizer": request.tokenizer.sha256,
        "data": _data_hash(request, build),
        "repeat_text": request.data.repeat_text,
        "code": _code_hash(tasks),
        "versions": [platform.python_version_tuple()[:2], *(_version(name) for name in _PACKAGES)],
    }
    return folder / "rows" / f"{request.task}@{request.length_tokens}-{hash_json(key)[:24]}.parquet"


def _data_hash(request: RowRequest, build: RowBuilder) -> str | None:
    """Hash of the files the rows are made from: what the builder's `files_read` names, else the whole data folder."""
    root = request.data.root
    files_read: Any = getattr(build, "files_read", None)
    if files_read is not None:
        paths = list(files_read(request))
    elif root is None:
        return None
    else:
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        request.data.note_used(paths)  # a run's data hash is then the same whether rows are built or read from here
    found = []
    for path in paths:
        name = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.name
        stat = path.stat()
        found.append([name, _file_hash(path, stat.st_size, stat.st_mtime_ns)])
    return hash_json(found)


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, size: int, changed: int) -> str:
    return hash_file(path)


@functools.lru_cache(maxsize=64)
def _code_hash(tasks: TaskFolder) -> str:
    """Hash of the code that rows come from: the task's folder, and what all tasks share. A folder of the user's may import our tasks."""
    package = Path(__file__).parent.parent
    shared = [package / room for room in ("rows", "tokens", "text", "data")]
    places = [tasks.path, *shared] if tasks.sha256 is None else [*shared, *(ours.path for ours in task_folders())]
    paths = [path for place in places for path in sorted(place.iterdir()) if path.suffix in (".py", ".yaml")]
    paths.append(package / "streams.py")
    return hash_json([[path.name, hash_file(path)] for path in paths] + ([tasks.sha256] if tasks.sha256 else []))


@functools.lru_cache(maxsize=8)
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
