"""Settings of a position embedding as people write them (`start=256,strongest=0.5`) and as config.json holds them."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError

if TYPE_CHECKING:
    from ropepp_eval.positions.base import Position

_WRITTEN = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "none"}
_WORDS = {"true": True, "false": False, "none": None}


def setting_types(kind: type[Position]) -> dict[str, tuple[Any, ...]]:
    """The types that each setting takes, by name; a scaling, which has a form of its own, is not among them."""
    hints = typing.get_type_hints(kind)
    return {f.name: _types_of(hints[f.name]) for f in dataclasses.fields(kind) if f.name != "scaling"}


def _types_of(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def parse_settings(kind: type[Position], text: str) -> dict[str, Any]:
    """`start=256,strongest=0.5` as values of the types that `kind` declares; `:` separates as well as `,`.

    Raises:
        UserError: a part is no NAME=VALUE, a name is unknown or given twice, or a value has the wrong type.
    """
    settings: dict[str, Any] = {}
    for part in text.replace(":", ",").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise UserError(
                f"position {kind.name}: {part!r} is no setting; write NAME=VALUE, such as {kind.name}:{_example(kind)}"
            )
        if name in settings:
            raise UserError(f"position {kind.name}: setting {name!r} is given twice; give it once")
        settings[name] = check_setting(kind, name, _read(value, setting_types(kind).get(name, ())))
    return settings


def _example(kind: type[Position]) -> str:
    first = next(iter(setting_types(kind)), "NAME")
    return f"{first}=VALUE"


def _read(value: str, allowed: tuple[Any, ...]) -> Any:
    """The value as JSON would hold it; text where a text is wanted or nothing else fits."""
    if value.lower() in _WORDS and (str not in allowed or value.lower() == "none"):
        return _WORDS[value.lower()]
    if str in allowed:
        return value
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def check_setting(kind: type[Position], name: str, value: Any) -> Any:
    """The value of a setting as its declared type.

    Raises:
        UserError: `kind` has no such setting, or the value has another type or is not finite.
    """
    known = setting_types(kind)
    if name not in known:
        scaling = "; a scaling is written +pi8 or +yarn32" if name == "scaling" else ""
        raise UserError(f"position {kind.name} has no setting {name!r}; it has {', '.join(known) or 'none'}{scaling}")
    allowed = known[name]
    if type(value) is int and int not in allowed and float in allowed:
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"position {kind.name}: setting {name} is {value}; give a finite number")
    plain = [option for option in allowed if option in _WRITTEN]
    if len(plain) == len(allowed) and type(value) not in allowed:
        wanted = " or ".join(_WRITTEN[option] for option in plain)
        raise UserError(f"position {kind.name}: setting {name} is {value!r}; it takes {wanted}")
    return value


def settings_label(position: Position, own: Position | None = None) -> str:
    """Every setting that differs from the embedding `own`, in order of their names: `start=256,strongest=0.5`.

    Labels compare with what the checkpoint's own config makes, since a record's key holds the hash of that config; without
    `own` every setting is written.
    """
    names = sorted(field.name for field in dataclasses.fields(position) if field.name != "scaling")
    values = {name: getattr(position, name) for name in names}
    return ",".join(
        f"{name}={_written(value)}" for name, value in values.items() if own is None or value != getattr(own, name)
    )


def _written(value: Any) -> str:
    """What `parse_settings` reads back; a whole float without its zeros."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True).replace("null", "none")


def position_label(name: str, settings: str, scaling: str) -> str:
    """`rope`, `log_bias:strongest=0.5`, `ropepp_ec+yarn32`: what `--position` takes, and what records and tables hold."""
    return name + (f":{settings}" if settings else "") + ("" if scaling == "none" else f"+{scaling}")


def checked_settings(kind: type[Position], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a config.json checked; see `check_setting`."""
    return {name: check_setting(kind, name, value) for name, value in settings.items()}
