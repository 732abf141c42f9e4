"""Folders that hold tasks: ours, those of installed packages (entry points), and those the user names.

A folder is imported as a package, so that its files import each other by `from .other import ...`: ours are
`ropepp_eval.tasks.<benchmark>`, an entry point names its own, and a folder of the user's gets a name made from where it lies,
which is the same in every process.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file, hash_json, hash_text
from ropepp_eval.inert import inert
from ropepp_eval.paths import resource_dir

ENTRY_POINTS = "ropepp_eval.tasks"
"""Entry point group: each names a package whose folder holds tasks."""
_loaded: dict[Path, TaskFolder] = {}
"""Folders that the user named, by where they lie; the same for the whole process, as Python's own modules are."""


@dataclass(frozen=True)
class TaskFolder:
    """One folder of tasks."""

    path: Path
    package: str
    """Its files are imported as modules of this package."""
    sha256: str | None = None
    """Hash of all its files when it was opened, part of the key of every row; None for ours, which come with this release."""

    def function(self, dotted: str) -> Callable[..., Any]:
        """`hooks.rows`: a function of the folder's `hooks.py`, or of an importable module where the folder has no such file.

        Raises:
            UserError: importing it fails, or it is not there; in words that follow "... is".
        """
        module, _, name = self.full_name(dotted).rpartition(".")
        try:
            found: Any = getattr(importlib.import_module(module), name, None)
        except (Exception, SystemExit) as error:
            reason = inert(f"{type(error).__name__}: {error}".partition("\n")[0])
            raise UserError(f"{dotted}, whose import fails with {reason}; correct it") from error
        if not callable(found):
            raise UserError(f"{dotted}, which is no function there; define it, or correct the name")
        function: Callable[..., Any] = found
        return function

    def full_name(self, dotted: str) -> str:
        """The name under which Python imports what the folder's YAML calls `dotted`."""
        module = dotted.rpartition(".")[0]
        local = self.path.joinpath(*module.split(".")).with_suffix(".py").is_file()
        return f"{self.package}.{dotted}" if local else dotted


def task_folders() -> tuple[TaskFolder, ...]:
    """All folders in order: ours, those of installed packages, those loaded. Raises UserError for a wrong entry point."""
    return (*_ours(), *_installed(), *_loaded.values())


def loaded_folders() -> tuple[Path, ...]:
    """The folders that the user named, for processes that must know them too."""
    return tuple(_loaded)


def remember(folder: TaskFolder) -> None:
    """Make a folder one of `task_folders` until the process ends."""
    _loaded[folder.path] = folder


def folder_of_module(module: str) -> TaskFolder | None:
    """The folder that a module of this name lies in."""
    return next((folder for folder in task_folders() if module.startswith(f"{folder.package}.")), None)


def open_folder(folder: str | Path) -> TaskFolder:
    """A folder of the user's, importable as a package.

    Raises:
        UserError: it is no folder.
    """
    path = Path(folder).resolve()
    if path in _loaded:
        return _loaded[path]
    if not path.is_dir():
        raise UserError(f"task folder {str(folder)!r} is not a folder; give the one that holds the task's YAML file")
    return TaskFolder(path, make_package(path), _content_hash(path))


def make_package(folder: Path) -> str:
    """Make a folder importable as a package and give its name, which is made from where the folder lies."""
    package = f"ropepp_eval_tasks_{re.sub(r'[^A-Za-z0-9]+', '_', folder.name)}_{hash_text(str(folder))[:8]}"
    if package not in sys.modules:
        module = ModuleType(package, f"The task folder {folder}.")
        module.__path__ = [str(folder)]
        sys.modules[package] = module
    return package


@functools.cache
def _ours() -> tuple[TaskFolder, ...]:
    return tuple(
        TaskFolder(path, f"ropepp_eval.tasks.{path.name}")
        for path in sorted(resource_dir("tasks").iterdir())
        if any(path.glob("*.yaml"))
    )


@functools.cache
def _installed() -> tuple[TaskFolder, ...]:
    found = []
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            spec = importlib.util.find_spec(entry.module)
        except (Exception, SystemExit) as error:
            raise UserError(
                f"entry point {entry.name} = {entry.value} of {ENTRY_POINTS} fails with {type(error).__name__}: "
                f"{inert(error)}; correct or uninstall the package that names it"
            ) from error
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise UserError(
                f"entry point {entry.name} = {entry.value} of {ENTRY_POINTS} is no package; name one whose folder holds tasks"
            )
        path = Path(places[0]).resolve()
        found.append(TaskFolder(path, entry.module, _content_hash(path)))
    return tuple(found)


def _content_hash(folder: Path) -> str:
    """Hash of the names and bytes of all files of a folder, but for caches and hidden ones."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = [name for name in names if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)]
    return hash_json([[name.as_posix(), hash_file(folder / name)] for name in kept])
