"""The one reader of corpora: UTF-8 without its byte order mark, one kind of line end, records checked one by one.

Whatever else is in a file is an error that names the file and the byte or line. Nothing is repaired by guessing: a file in
Windows-1252 that were read as something else would give prompts that no reference has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Limits, checked, decoded, parse_json, read_bytes

T = TypeVar("T")
LIMITS = Limits(size_bytes=1 << 30)
"""HotpotQA's training file has 566 MB; no corpus read here is larger."""
_ADVICE = "get the file anew"


def read_text(path: Path, *, may_be_empty: bool = False) -> str:
    """The text of a corpus file; its lines end in a newline alone.

    Raises:
        UserError: it can't be read, is not UTF-8, holds a zero byte, or holds blanks only.
    """
    content = read_bytes(path, LIMITS, _ADVICE)
    text = decoded(content, inert(path), limits=LIMITS, advice=_ADVICE)
    if "\0" in text:
        raise UserError(f"{inert(path)} is no text (byte {content.index(0):,} is 0x00); {_ADVICE}")
    if not may_be_empty and not text.strip():
        raise UserError(f"{inert(path)} is empty; {_ADVICE}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json_lines(path: Path, model: type[T]) -> list[T]:
    """The records of a file with one JSON object a line, each as `model`; empty lines are skipped.

    Raises:
        UserError: the file or a line is not what it should be (file and line number are named).
    """
    return [record for _, record in numbered_json_lines(path, model)]


def numbered_json_lines(path: Path, model: type[T]) -> list[tuple[str, T]]:
    """As `read_json_lines`, each record with its place: file and line number, from 1."""
    found = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{inert(path)}:{number}"
            found.append((where, checked(parse_json(line, where, advice=_ADVICE), model, where, advice=_ADVICE)))
    return found


def read_json_records(path: Path, model: type[T]) -> list[T]:
    """The records of a file that holds one JSON array, or one object a line. Raises UserError."""
    text = read_text(path)
    if not text.lstrip().startswith("["):
        return read_json_lines(path, model)
    content = parse_json(text, inert(path), limits=LIMITS, advice=_ADVICE)
    records = checked(content, list[Any], inert(path), advice=_ADVICE)
    return [
        checked(record, model, f"{inert(path)}: record {number}", advice=_ADVICE) for number, record in enumerate(records)
    ]


def read_json_file(path: Path, model: type[T]) -> T:
    """A file that is one JSON value, as `model`. Raises UserError."""
    content = parse_json(read_text(path), inert(path), limits=LIMITS, advice=_ADVICE)
    return checked(content, model, inert(path), advice=_ADVICE)
