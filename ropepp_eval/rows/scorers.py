"""The version of what scores a task's rows, so that stored scores say by which they were made."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from ropepp_eval.hashing import hash_json, hash_text
from ropepp_eval.rows.catalogue import TaskEntry


def scorer_sha256(task: TaskEntry) -> str:
    """Hash of the Python file that scores the task's rows, of the files of its folder that this one imports, and of `metadata.version`,
    which an author raises where the code does not show it (another list of labels, say).

    A comment counts too: where nothing else changed, scoring again finds equal scores.

    Raises:
        UserError: the function can't be imported.
    """
    function = task.score_row()
    module, name = (getattr(function, part, getattr(type(function), part)) for part in ("__module__", "__qualname__"))
    return hash_json([str(task.version), name, _sources_sha256(module, task.folder.package)])


def scorer_in_words(task: TaskEntry) -> str:
    """The scoring function's name and what its docstring begins with."""
    function = task.score_row()
    said = (inspect.getdoc(function) or "").partition("\n")[0]
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
    return f"{name}: {said}" if said else name


@functools.lru_cache(maxsize=256)
def _sources_sha256(module: str, package: str) -> str:
    """Hash of a module's source and of those of `package` that it imports, directly or not; where the package lies does not count."""
    found: dict[str, str] = {}
    ahead = [module]
    while ahead:
        name = ahead.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in found or file is None or not file.endswith(".py"):
            continue
        source = Path(file).read_text(encoding="utf-8")
        found[name] = hash_text(source)
        ahead += [imported for imported in _imports(source, name) if imported.startswith(f"{package}.")]
    return hash_json({name.removeprefix(f"{package}."): sha256 for name, sha256 in found.items()})


def _imports(source: str, module: str) -> Iterator[str]:
    """Full names of what a module's source imports, and of what it imports from there, which may be modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, module.rpartition(".")[0]) if node.level else relative
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
