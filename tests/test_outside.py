"""JSON and YAML from outside: what is wrong is one line that names file, field, value and what is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ConfigDict, Field, ValidationError

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Limits, Outside, checked, parse_json, parse_yaml, read_json, read_yaml, shown


class Inner(Outside):
    model_config = ConfigDict(extra="forbid")
    depth: int


class Format(Outside):
    layers: Annotated[int, Field(gt=0)] = 1
    base: float | None = None
    stops: int | Items[int] = ()
    name: str = ""
    inner: Inner | None = None


def refused(content: bytes | str, tmp_path: Path, name: str = "odd.json") -> str:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        (read_json if name.endswith("json") else read_yaml)(file, Format)
    message = str(caught.value)
    assert name in message
    assert message == inert(message), "a message is one line without control characters"
    assert len(message.replace(str(tmp_path), "")) < 400
    return message


WRONG_JSON: list[tuple[bytes | str, tuple[str, ...]]] = [
    ("", ("not JSON", "line 1 column 1")),
    ("{", ("not JSON",)),
    ("[]", ("is []", "a mapping of fields")),
    ("null", ("is null", "a mapping of fields")),
    ('"config"', ('"config"', "a mapping of fields")),
    ('{"layers": "two"}', ("layers", '"two"', "a whole number")),
    ('{"layers": 2.5}', ("layers", "2.5", "a whole number")),
    ('{"layers": true}', ("layers", "true", "a whole number")),
    ('{"layers": 0}', ("layers", "0", "greater than 0")),
    ('{"layers": 1, "layers": 2}', ('"layers"', "twice")),
    ('{"inner": {"depth": 1, "depth": 1}}', ('"depth"', "twice")),
    ('{"inner": {}}', ("inner.depth", "missing")),
    ('{"inner": {"depth": 1, "colour": 2}}', ("inner.colour", "no field")),
    ('{"inner": []}', ("inner", "[]", "a mapping of fields")),
    ('{"base": NaN}', ("NaN",)),
    ('{"base": -Infinity}', ("-Infinity",)),
    ('{"base": 1e999}', ("1e999",)),
    ('{"layers": ' + "9" * 5000 + "}", ("5000 digits",)),
    ('{"stops": "x"}', ("stops", '"x"', "whole number or it must be a list")),
    ('{"stops": [1, "x"]}', ("stops[1]", '"x"', "a whole number")),
    ('{"name": ["\\u001b[31m\\n\\u202e"]}', ("name", "\\u001b", "a text")),
    ('{"layers": "' + "x" * 100_000 + '"}', ("layers", "xxx...")),
    ('{"stops": ["' + "x" * 100_000 + '"]}', ("stops[0]", "xxx...")),
    ("[" * 100_000, ("deeper than 32",)),
    ('{"a":' * 100_000, ("deeper than 32",)),
    ("[" * 33 + "]" * 33, ("deeper than 32",)),
    ('{"a": "' + '\\"' * 300_000, ("not JSON",)),
    ('"' * 300_001 + "[" * 40, ("not JSON",)),
    ('{"layers": 2}'.encode("utf-16"), ("UTF-16", "UTF-8")),
    ('{"layers": 2}'.encode("utf-16-le"), ("UTF-16", "UTF-8")),
    (b'{"name": "\xe9"}', ("not UTF-8", "byte 10", "0xe9")),
    (b"\x1f\x8b\x08\x00", ("no text",)),
]


@pytest.mark.parametrize(("content", "words"), WRONG_JSON, ids=range(len(WRONG_JSON)))
def test_wrong_json_is_one_line_that_says_what_and_where(
    content: bytes | str, words: tuple[str, ...], tmp_path: Path
) -> None:
    message = refused(content, tmp_path)
    for word in words:
        assert word in message


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
WRONG_YAML = [
    ("", ("is null", "a mapping of fields")),
    ("layers: two", ("layers", '"two"')),
    ("layers: 1\nlayers: 2", ('"layers"', "twice", "line 2")),
    ("[a]: 1", ("no plain text",)),
    ("base: .nan", (".nan", "finite")),
    ("base: .inf", (".inf", "finite")),
    (BOMB, ("alias", "line 2")),
    ("a: &a [*a]", ("alias",)),
    ("[" * 100_000, ("deeper than 32",)),
    ("- " * 50 + "x", ("deeper than 32",)),
    ("a: !!python/object/apply:os.system [ls]", ("could not determine a constructor",)),
    ("a: 1\n--- \nb: 2", ("another document",)),
    ("a: 'open", ("not YAML",)),
    ("a: \x07", ("YAML",)),
    ("layers: " + "9" * 5000, ("YAML",)),
    ("a: !!int x", ("YAML",)),
    ("a: !!timestamp 1", ("YAML",)),
    ("name: 2020-01-01", ("name", "a text")),
]


@pytest.mark.parametrize(("content", "words"), WRONG_YAML, ids=range(len(WRONG_YAML)))
def test_wrong_yaml_is_one_line_that_says_what_and_where(content: str, words: tuple[str, ...], tmp_path: Path) -> None:
    message = refused(content, tmp_path, "odd.yaml")
    for word in words:
        assert word in message


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_right_files_are_read_into_frozen_models(mark: bytes, tmp_path: Path) -> None:
    file = tmp_path / "right.json"
    file.write_bytes(mark + b'{"layers": 2, "base": 10, "stops": [1, 2], "name": "[[[[\\"", "unknown": {"deep": [[]]}}')
    found = read_json(file, Format)
    assert found == Format(layers=2, base=10.0, stops=(1, 2), name='[[[["')
    with pytest.raises(ValidationError):
        found.layers = 3  # type: ignore[misc]
    yaml_file = tmp_path / "right.yaml"
    yaml_file.write_bytes(mark + b"layers: 2\nbase: 10\nstops: [1, 2]\nname: '[[[[\"'\n")
    assert read_yaml(yaml_file, Format) == found


def test_brackets_inside_strings_are_not_depth() -> None:
    assert parse_json('["' + "[" * 1000 + '", "\\"[[[[' + "{" * 1000 + '"]', "x") == ["[" * 1000, '"[[[[' + "{" * 1000]
    assert parse_json("[[[]]]", "x", limits=Limits(depth=3)) == [[[]]]


def test_files_that_are_no_plain_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    for name in ("pipe.json", "folder.json", "loop.json", "absent.json"):
        with pytest.raises(UserError, match=name):
            read_json(tmp_path / name, Format)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text(" " * 1001)
    with pytest.raises(UserError, match=r"more than 1,000 bytes"):
        read_json(file, Format, limits=Limits(size_bytes=1000))
    with pytest.raises(UserError, match=r"more than 1,000 bytes"):
        parse_json(" " * 1001, "text", limits=Limits(size_bytes=1000))


def test_a_path_with_control_characters_is_written_with_escapes(tmp_path: Path) -> None:
    file = tmp_path / "a\nb\x1b[31m.json"
    file.write_text("[]")
    with pytest.raises(UserError) as caught:
        read_json(file, Format)
    assert "a\\nb\\u001b[31m.json" in str(caught.value)


def test_any_type_can_be_checked() -> None:
    assert checked({"a": [1]}, dict[str, list[int]], "x") == {"a": [1]}
    with pytest.raises(UserError, match=r"^rows line 3: a\[0\] is \"q\"; it must be .*; ask again$"):
        checked({"a": ["q"]}, dict[str, list[int]], "rows line 3", advice="ask again")


@pytest.mark.parametrize(
    "text", ["[" * 2_000_000, '"' + '\\"' * 1_000_000 + "[" * 40, '"' * 2_000_001 + "[" * 40, "- " * 1_000_000]
)
def test_hostile_text_is_refused_whatever_its_length(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        with pytest.raises(UserError):
            parse(text, "x")


def test_shown_values_are_short_whatever_they_are() -> None:
    for value in (
        "x" * 10**6,
        ["x"] * 10**6,
        {"k" * 10**6: "v"},
        [[[[[["x"] * 1000] * 1000]]]],
        {1: object()},
        b"\x00" * 1000,
    ):
        assert len(shown(value)) <= 80
    assert shown({"a": [1, None, "é\n"]}) == '{"a": [1, null, "é\\n"]}'
