"""The position embeddings by name: ours, those of installed packages (entry points), and those of a file the user names."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.positions.scaling import Scaling, parse_scaling
from ropepp_eval.positions.settings import parse_settings

if TYPE_CHECKING:
    from ropepp_eval.positions.base import Position

ENTRY_POINTS = "ropepp_eval.positions"
"""Entry point group: each names a module that holds `@position(...)` classes."""
_BUILT_IN = ("rope", "ropepp", "fope", "partial", "alibi", "nope")
_REGISTRY: dict[str, type[Position]] = {}
_loaded_files: set[Path] = set()
_PLUS = re.compile(r"(?<![0-9.][eE])\+|\+(?=[A-Za-z])")
"""The plus before a scaling; that of a number such as 5e+5 is none."""
_Kind = TypeVar("_Kind", bound="type[Position]")


def position(name: str) -> Callable[[_Kind], _Kind]:
    """Class decorator: make a frozen dataclass derived from `Position` known as `name`.

    Raises:
        UserError: the name is taken, or can't be written on a command line.
    """

    def add(kind: _Kind) -> _Kind:
        if not name.isidentifier():
            raise UserError(f"position name {name!r} has signs a name can't hold; use letters, digits and _")
        present = _REGISTRY.get(name)
        if present is not None:
            raise UserError(
                f"position {name!r} is already registered by {present.__module__}.{present.__qualname__}; "
                "choose another name"
            )
        kind.name = name
        _REGISTRY[name] = kind
        return kind

    return add


def positions() -> dict[str, type[Position]]:
    """All known position embeddings by name, in order of registration (ours first)."""
    for module in _BUILT_IN:
        importlib.import_module(f"ropepp_eval.positions.{module}")
    for entry in _installed(tuple(sys.path)):
        if entry.module not in sys.modules:
            entry.load()
    return dict(_REGISTRY)


@functools.lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Entry points of what is installed on a `sys.path`. A look at all packages takes 10 ms and more; a model asks some hundred times."""
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def get_position(name: str) -> type[Position]:
    """The class of a position embedding. Raises UserError with near matches for an unknown name."""
    known = positions()
    if name not in known:
        raise unknown_name("position", name, known, "a file of your own is loaded by --position-module FILE")
    return known[name]


def load_position_module(file: str | Path) -> None:
    """Run a Python file that holds `@position(...)` classes. Loading the same file again does nothing.

    Raises:
        UserError: there is no such file, it fails, or it registers nothing.
    """
    path = Path(file).resolve()
    if path in _loaded_files:
        return
    if not path.is_file():
        raise UserError(f"position module {str(file)!r} is not a file; give the Python file that holds your @position class")
    before = set(positions())
    spec = importlib.util.spec_from_file_location(f"ropepp_eval_position_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"position module {str(file)!r} is not Python source; give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"position module {str(file)!r} fails with {type(error).__name__}: {error}; correct it") from error
    if set(_REGISTRY) == before:
        raise UserError(f'position module {str(file)!r} registers no position; decorate a class with @position("name")')
    _loaded_files.add(path)


def loaded_modules() -> list[Path]:
    """Files loaded so far, for processes that must load them too."""
    return sorted(_loaded_files)


def parse_position(text: str) -> tuple[type[Position], Scaling | None, bool]:
    """`ropepp_ec`, `ropepp_ec+yarn32`, `rope+pi8` or `rope+none` as (class, scaling, whether a scaling was written).

    Raises:
        UserError: the name or the scaling is unknown.
    """
    name, _, scaling = _parts(text)
    kind = get_position(name)
    return kind, None if scaling is None else parse_scaling(scaling), scaling is not None


def parse_position_settings(text: str) -> dict[str, Any]:
    """The settings of `log_bias:strongest=0.5` or `rope:base=5e5+pi8` as values; empty where none is written.

    Raises:
        UserError: the name or a setting is unknown, or a value has the wrong type.
    """
    name, settings, _ = _parts(text)
    return {} if settings is None else parse_settings(get_position(name), settings)


def with_settings(position: Position, settings: Mapping[str, Any]) -> Position:
    """The position embedding with some settings changed. Raises UserError where it refuses a value."""
    try:
        return dataclasses.replace(position, **settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"position {position.name} refuses {dict(settings)}: {error}; give another value") from error


def _parts(text: str) -> tuple[str, str | None, str | None]:
    """Name, settings and scaling of `name:settings+scaling`; None for a part that is not written."""
    head, *scaling = _PLUS.split(text, maxsplit=1)
    name, *settings = head.split(":", maxsplit=1)
    return name, settings[0] if settings else None, scaling[0] if scaling else None
