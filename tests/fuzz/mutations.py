"""Mutations of a file: of its bytes, of its lines, and of its values where it is JSON. A number gives the same file everywhere."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

LONG = 100_000
"""Characters of a line that meets expressions which are not linear."""
_MARKS = "[]{}()\"'.,:;?!=- \t*<>@&\\0aé"
_STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 7, 10**18, -(10**18), 10**40, 0.5, -1e308, 1e-320, "", " ", "x", "\x1b[31mred\x1b[0m", "a\nb\rc",
    "\u202e\u2028\x00", "é" * 300, "x" * LONG, "../../etc/passwd", "~", "=1+1", "$x$", "NaN", "1e999", [], {}, [[]], [None], [{}], {"": None},
    {"a": {"b": {"c": []}}}, [0] * 1000, ["x"] * 50, [1, "x"], {"x": 1}, 1 << 31, 1 << 63, "\ud83d\ude00",
]  # fmt: skip


def mutated(content: bytes, stream: random.Random) -> bytes:
    """A changed file: one to three mutations, one after the other."""
    for _ in range(stream.choice((1, 1, 1, 2, 3))):
        content = stream.choice(_MUTATIONS)(content, stream)
    return content


def _place(content: bytes, stream: random.Random) -> tuple[int, int]:
    begin = stream.randrange(len(content) + 1)
    return begin, min(len(content), begin + stream.choice((1, 2, 8, 40, 400)))


def _flip(content: bytes, stream: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(stream.choice((1, 1, 2, 5, 20)) if content else 0):
        changed[stream.randrange(len(changed))] ^= 1 << stream.randrange(8)
    return bytes(changed)


def _cut(content: bytes, stream: random.Random) -> bytes:
    return content[: stream.randrange(len(content) + 1)]


def _remove(content: bytes, stream: random.Random) -> bytes:
    begin, end = _place(content, stream)
    return content[:begin] + content[end:]


def _repeat(content: bytes, stream: random.Random) -> bytes:
    begin, end = _place(content, stream)
    return content[:end] + content[begin:end] * stream.choice((1, 2, 50)) + content[end:]


def _insert(content: bytes, stream: random.Random) -> bytes:
    begin, _ = _place(content, stream)
    pieces = (
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\r",
        b"\x1b[2J",
        b"\xed\xa0\x80",
        b"\xc3",
        b"\x85",
        "\u2028".encode(),
        stream.randbytes(9),
    )
    return content[:begin] + stream.choice(pieces) + content[begin:]


def _long_line(content: bytes, stream: random.Random) -> bytes:
    begin, _ = _place(content, stream)
    unit = "".join(stream.choices(_MARKS, k=stream.choice((1, 1, 2, 3))))
    return content[:begin] + (unit * (LONG // len(unit))).encode() + content[begin:]


def _nest(content: bytes, stream: random.Random) -> bytes:
    begin, _ = _place(content, stream)
    depth = stream.choice((40, 1000, LONG))
    opening, closing = stream.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return content[:begin] + opening * depth + (closing * depth if stream.random() < 0.7 else b"") + content[begin:]


def _encode(content: bytes, stream: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    name = stream.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"))
    return text.encode(name, "replace")


def _line_ends(content: bytes, stream: random.Random) -> bytes:
    return content.replace(b"\n", stream.choice((b"\r\n", b"\r", b"\n\n", b"", b"\x0b", b"\x1e")))


def _swap_lines(content: bytes, stream: random.Random) -> bytes:
    lines = content.split(b"\n")
    stream.shuffle(lines)
    return b"\n".join(lines[: stream.randrange(1, len(lines) + 1)])


def _empty(content: bytes, stream: random.Random) -> bytes:
    return stream.choice((b"", b"\n", b" ", b"{}", b"[]", b"null", b"0", b'""', b"{", b"--- \n", b"\xef\xbb\xbf"))


def _value(content: bytes, stream: random.Random) -> bytes:
    """One value of JSON, of one line of JSON lines, or of the JSON header of a safetensors file, replaced, removed, renamed or doubled."""
    if content[8:9] == b"{" and len(content) > 8:
        size = int.from_bytes(content[:8], "little")
        header = _changed_json(content[8 : 8 + size], stream) if size < len(content) else content[8:]
        kept = len(header) if stream.random() < 0.9 else stream.choice((0, size, 1 << 40, (1 << 64) - 1))
        return kept.to_bytes(8, "little") + header + content[8 + size :]
    lines = content.split(b"\n")
    if len(lines) > 1 and lines[0][:1] == b"{" and lines[0][-1:] == b"}":
        place = stream.randrange(len(lines))
        lines[place] = _changed_json(lines[place], stream)
        return b"\n".join(lines)
    return _changed_json(content, stream)


def _changed_json(content: bytes, stream: random.Random) -> bytes:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _flip(content, stream)
    for _ in range(stream.choice((1, 1, 2))):
        value = _changed(value, stream)
    text = json.dumps(value, ensure_ascii=stream.random() < 0.5)
    if stream.random() < 0.05 and text.startswith("{"):
        text = text[:-1] + "," + text[1:]  # every key twice
    if stream.random() < 0.05:
        text = text.replace("1", stream.choice(("NaN", "-Infinity", "1e999", "9" * 5000)), 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, stream: random.Random) -> Any:
    inside = isinstance(value, (dict, list)) and value and stream.random() < 0.85
    if not inside:
        return copy.deepcopy(stream.choice(_STRANGE))
    key = stream.choice(list(value) if isinstance(value, dict) else range(len(value)))
    how = stream.random()
    if how < 0.75:
        value[key] = _changed(value[key], stream)
    elif how < 0.87:
        del value[key]
    elif isinstance(value, dict):
        value[stream.choice(("", "x", "\x1b[7m", str(key).upper(), "é" * 200))] = value.pop(key)
    else:
        value.insert(key, copy.deepcopy(stream.choice(_STRANGE)))
    return value


_MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip, _cut, _remove, _repeat, _insert, _long_line, _nest, _encode, _line_ends, _swap_lines, _empty,
    *[_value] * 8,
]  # fmt: skip
