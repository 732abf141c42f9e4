"""The way in for JSON and YAML from outside: read within limits, checked against a pydantic model, wrong in one line or right.

    class Shape(Outside):
        layers: Annotated[int, Field(gt=0)]
        stop_ids: Items[int] = ()

    shape = read_json(folder / "shape.json", Shape)

Whatever is wrong raises a UserError: `shape.json: layers is "two"; it must be a whole number; correct it`.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Strict, TypeAdapter, ValidationError

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Strict(False)]
"""A list in a file, a tuple in the model; what is in it is checked strictly."""

_SHOWN_CHARACTERS = 80
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)  # possessive: an open string is read once
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Outside(BaseModel):
    """Base of a format's models: strict types, frozen, no NaN. Fields it does not name are left out; a format whose every
    field is ours says `model_config = ConfigDict(extra="forbid")`."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="ignore")


@dataclass(frozen=True)
class Limits:
    """How much of a file is read."""

    size_bytes: int = 64 * 2**20
    depth: int = 32
    """Lists and mappings inside each other."""
    digits: int = 20
    """Of a whole number: no count or id is longer, and float() of some hundreds overflows."""


LIMITS = Limits()


def read_json(file: Path, model: type[T], *, limits: Limits = LIMITS, advice: str = "correct it") -> T:
    """A JSON file as `model`: a pydantic model, or any type that pydantic can check.

    Args:
        file: named in every message.
        limits: of size and depth.
        advice: what to do about a wrong file, the end of every message.

    Raises:
        UserError: the file is missing, no plain file, too large, or not what the model says.
    """
    content = parse_json(read_bytes(file, limits, advice), inert(file), limits=limits, advice=advice)
    return checked(content, model, inert(file), advice=advice)


def read_yaml(file: Path, model: type[T], *, limits: Limits = LIMITS, advice: str = "correct it") -> T:
    """A YAML file as `model`; otherwise as `read_json`."""
    content = parse_yaml(read_bytes(file, limits, advice), inert(file), limits=limits, advice=advice)
    return checked(content, model, inert(file), advice=advice)


def read_bytes(file: Path, limits: Limits = LIMITS, advice: str = "correct it") -> bytes:
    """The bytes of a plain file within the limits. Raises UserError."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would wait for ever, a device never end
            raise UserError(f"{inert(file)} is no plain file; {advice}")
        with file.open("rb") as stream:
            content = stream.read(limits.size_bytes + 1)
    except OSError as error:
        raise UserError(f"{inert(file)} can't be read ({error.strerror or error}); {advice}") from error
    if len(content) > limits.size_bytes:
        raise UserError(f"{inert(file)} has more than {limits.size_bytes:,} bytes, the most that is read; {advice}")
    return content


def parse_json(
    content: bytes | str,
    where: str,
    *,
    limits: Limits = LIMITS,
    advice: str = "correct it",
    lenient: bool = False,
    halves: bool = False,
) -> Any:
    """JSON as Python values: no key twice, no NaN, no infinity, no half characters, no whole number of too many digits.

    Args:
        content: bytes are UTF-8; a byte order mark is taken off.
        where: what messages call it, such as `run.json` or `rows.jsonl line 3`.
        limits: of size and depth.
        advice: what to do about it, the end of every message.
        lenient: let NaN and infinity stand, which other programs write.
        halves: let half characters (lone surrogates) stand, which models answer.

    Raises:
        UserError: it is none, in one line.
    """
    text = decoded(content, where, limits=limits, advice=advice)
    _check_depth(text, where, limits, advice)
    try:
        content = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_constant=float if lenient else _no_constant,
            parse_float=_float,
            parse_int=lambda digits: _whole_number(digits, limits),
        )
        if not halves and _SURROGATE.search(text):
            _check_characters(content)
        return content
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}: {error.msg}"
        raise UserError(f"{where} is not JSON ({place}); {advice}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} can't be used as JSON ({inert(error)}); {advice}") from error


def parse_yaml(
    content: bytes | str, where: str, *, limits: Limits = LIMITS, advice: str = "correct it", tags: Sequence[str] = ()
) -> Any:
    """YAML as Python values: plain types only, no aliases, no key twice, no NaN or infinity.

    Args:
        tags: tags of a format's own, such as `!function`; such a scalar becomes the text `!function name`.

    Raises:
        UserError: it is none, in one line.
    """
    text = decoded(content, where, limits=limits, advice=advice)
    try:
        _check_events(text, limits)
        loader = _Yaml(text)
        loader.yaml_constructors = {**loader.yaml_constructors, **dict.fromkeys(tags, _tagged)}
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        raise UserError(f"{where} is not YAML ({place}{inert(error.problem or error)}); {advice}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{where} can't be used as YAML ({inert(error)[:200]}); {advice}") from error


def decoded(content: bytes | str, where: str, *, limits: Limits = LIMITS, advice: str = "correct it") -> str:
    """UTF-8 as a text, a byte order mark taken off. Raises UserError, which names the first wrong byte."""
    if len(content) > limits.size_bytes:
        raise UserError(f"{where} has more than {limits.size_bytes:,} bytes, the most that is read; {advice}")
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    if content[:2] in _MARKS_OF_UTF16 or b"\0" in content[:4]:
        raise UserError(f"{where} is UTF-16 or UTF-32, or no text; save it as UTF-8")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise UserError(f"{where} is not UTF-8 (byte {error.start:,} is 0x{byte:02x}); save it as UTF-8") from error


def checked(content: Any, model: type[T], where: str, *, advice: str = "correct it") -> T:
    """`content` as `model`. Raises UserError with the first field that is wrong, its value and what is allowed."""
    try:
        result: T = _adapter(model).validate_python(content)
        return result
    except ValidationError as error:
        raise UserError(f"{where}{_complaint(error, content)}; {advice}") from error


def complaint_of(content: Any, model: Any) -> str:
    """What is wrong with `content` as `model`: the first field, its value and what is allowed; empty where nothing is."""
    try:
        _adapter(model).validate_python(content)
    except ValidationError as error:
        return _complaint(error, content).removeprefix(":").strip()
    return ""


def shown(value: object) -> str:
    """A value for a message: as JSON writes it, on one line, shortened."""
    short = _shortened(value)
    try:
        text = json.dumps(short, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(short)
    text = inert(text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _shortened(value: object, depth: int = 3) -> object:
    """Enough of a value to fill what is shown of it: it may hold millions of entries."""
    if isinstance(value, str):
        return value[: _SHOWN_CHARACTERS * 2]
    if depth and isinstance(value, dict):
        return {str(k)[:_SHOWN_CHARACTERS]: _shortened(v, depth - 1) for k, v in list(value.items())[:_SHOWN_CHARACTERS]}
    if depth and isinstance(value, (list, tuple)):
        return [_shortened(item, depth - 1) for item in value[:_SHOWN_CHARACTERS]]
    return "..." if isinstance(value, (dict, list, tuple)) else value


def _check_depth(text: str, where: str, limits: Limits, advice: str) -> None:
    if text.count("[") + text.count("{") <= limits.depth:
        return
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > limits.depth:
            raise UserError(f"{where} nests deeper than {limits.depth} levels, the most that is read; {advice}")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in set(names[:place]))
        raise ValueError(f"the key {shown(twice)} is there twice")
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that JSON has")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:_SHOWN_CHARACTERS]} is larger than any number here")
    return value


def _check_characters(content: Any) -> None:
    """An escape such as \\ud83d without its other half is no character: nothing could encode or tokenize the text."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown(error.object[error.start])} is half a character") from error


def _whole_number(text: str, limits: Limits) -> int:
    if len(text) > limits.digits:
        raise ValueError(f"{text[: limits.digits]}... has {len(text)} digits")
    return int(text)


def _check_events(text: str, limits: Limits) -> None:
    """Aliases and depth are found from the stream of events, before anything is built of them."""
    depth = 0
    events: Iterator[Any] = yaml.parse(text, Loader=_YamlLoader)
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            problem, mark = f"*{event.anchor} is an alias; write the value out", cast(Any, event.start_mark)
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > limits.depth:
            problem = f"nested deeper than {limits.depth} levels, the most that is read"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _Yaml(_YamlLoader):  # type: ignore[misc]
    """The safe loader, which keeps the last of two equal keys, made to refuse them."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else True:
                problem = f"the key {shown(str(key.value))} is there twice or no plain text"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping

    def construct_finite(self, node: Any) -> float:
        value: float = self.construct_yaml_float(node)
        if not math.isfinite(value):
            raise yaml.MarkedYAMLError(problem=f"{node.value} is no finite number", problem_mark=node.start_mark)
        return value


_Yaml.add_constructor("tag:yaml.org,2002:float", _Yaml.construct_finite)


def _tagged(loader: Any, node: Any) -> str:
    return f"{node.tag} {loader.construct_scalar(node)}"


def _adapter(model: Any) -> TypeAdapter[Any]:
    """Made once for each type, since making one takes a hundred times as long as a check."""
    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    return _ADAPTERS[model]


def _complaint(error: ValidationError, content: Any) -> str:
    """The first wrong field in words. Of a field that may be several things: all of them, or the one that fits furthest."""
    errors = error.errors(include_url=False)
    places = [_place(e["loc"], content) for e in errors]
    start = places[0][0]
    path, value = max((p for p in places if p[0][: len(start)] == start), key=lambda p: len(p[0]))
    here = [e for e, place in zip(errors, places, strict=True) if place[0] == path]
    first, field = here[0], _path_text(path)
    if first["type"] == "missing":
        return f": {_path_text((*path, first['loc'][-1]))} is missing"
    if first["type"] == "extra_forbidden":
        return f": {field} is no field of it"
    allowed = " or ".join(dict.fromkeys(_allowed(e) for e in here))
    return f"{f': {field}' if path else ''} is {shown(value)}; {allowed}"


def _place(loc: Sequence[int | str], content: Any) -> tuple[tuple[int | str, ...], Any]:
    """The part of an error's location that is in the content (the rest names types of a union), and what is there."""
    path: list[int | str] = []
    for part in loc:
        listed = isinstance(content, (list, tuple)) and isinstance(part, int) and part < len(content)
        if listed or (isinstance(content, dict) and part in content):
            content = content[part]
            path.append(part)
    return tuple(path), content


def _path_text(path: Sequence[int | str]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN_CHARACTERS]}" for part in path)
    return inert(text.removeprefix("."))


_WORDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "none_required": "null",
    "model_type": "a mapping of fields",
    "dict_type": "a mapping of fields",
    "tuple_type": "a list",
    "list_type": "a list",
}


def _allowed(error: Any) -> str:
    """What a field must be, from one of pydantic's errors."""
    if error["type"] in ("value_error", "assertion_error"):
        return inert(error["ctx"]["error"])
    if error["type"] in _WORDS:
        return f"it must be {_WORDS[error['type']]}"
    message: str = error["msg"]
    return inert(message.replace("Input should be", "it must be").replace("Input", "it"))
