"""A stored line: the one place that knows its fields, how it is written, and what makes it damaged.

A run keeps one JSON line a row. The last field of a line is a checksum of all that stands before it, so a line that was cut,
edited or hit by a failing disk is known for what it is: `run` asks the row again, tables leave it out and say so. Lines of format 1
have none and are still read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Required, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Limits, parse_json

FORMAT = 2
"""Number that this release writes into lines and `run.json`."""
READABLE = (1, 2)
CELL_FIELDS = ("checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol")
"""What tells the cell of a row."""
LONGEST_LINE = 64 << 20
"""Bytes. No answer is that long; a file of one endless line is refused before it is parsed."""

_CHECKSUM = re.compile(rb',"checksum":"([0-9a-f]{16})"\}\n$')
_TAIL_BYTES = len(b',"checksum":"0123456789abcdef"}\n')
_STRICT = ConfigDict(strict=True)
_LIMITS = Limits(size_bytes=256 << 20)
_LONG_NUMBER = 10**19
"""Has as many digits as a number may have, with its sign."""
_INFINITE = (math.inf, -math.inf)
Count = Annotated[int, Field(ge=0, le=1 << 40)]
Number = int | float
Score = Number | Annotated[list[Number], Field(min_length=2, max_length=2)] | None
"""A number, a [sum, weight] pair, or None where a row has no such score."""


class RowFailure(TypedDict):
    """Why a row has no scores."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    stage: str
    type: str
    message: str


class Record(TypedDict, total=False):
    """One row: what was asked, what was answered, what it scored, and the ledger of its tokens."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    format: int
    key: str
    """Hash of all that decides the answer; see `runs.keys.record_key`."""
    checkpoint: Required[str]
    checkpoint_sha256: Required[str]
    position: Required[str]
    benchmark: Required[str]
    task: Required[str]
    length_tokens: Required[Count]
    protocol: Required[str]
    seed: Required[int | None]
    tokenizer_sha256: Required[str | None]
    row: Required[Count]
    row_sha256: Required[str]
    prompt_tokens: Count | None
    new_tokens: Count | None
    reasoning_tokens: Count
    """New tokens that a thinking model wrote before its answer; they are not scored. Only of rows that have some."""
    budget: Count | None
    finish: str | None
    cut: Any
    seconds: Number | None
    prompt_sha256: str | None
    question: str
    """What was asked, as far as a line holds it; see `rows.row.Row.question`."""
    references: list[str]
    choices: list[str]
    """Continuations that were scored; only of rows that have some."""
    gold: int | None
    """Index of the right choice."""
    responses: list[Any]
    scores: Required[dict[str, Score] | None]
    scorer_sha256: str
    """Version of what made the scores; see `rows.scorers.scorer_sha256`. Lines of earlier releases have none."""
    stand_in: bool
    cluster: str
    details: dict[str, Any]
    error: Required[RowFailure | None]


@cache
def _records() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def line_of(record: Mapping[str, Any]) -> bytes:
    """The line of a record, with its checksum and line end.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value that JSON can't hold.
    """
    text = json.dumps({"format": FORMAT, **record}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text[:-1].encode("utf-8", "surrogatepass")
    return body + b',"checksum":"%s"}\n' % _checksum(body)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def parse_line(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The record of one line (with its line end), or None and why it is damaged."""
    record = as_written(line)
    return (record, "") if record is not None else judged(line)


def judged(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """`parse_line` of any line, step by step, with the reason."""
    if not line.endswith(b"\n"):
        return None, "cut"
    if len(line) > LONGEST_LINE:
        return None, f"longer than {LONGEST_LINE >> 20} MiB"
    record, reason = json_or_reason(line)
    if reason:
        return None, reason
    if not isinstance(record, dict):
        return None, "not a row"
    found = record.get("format", 1)
    if found not in READABLE or isinstance(found, bool):
        return None, f"format {_short(found)}, this release reads {' and '.join(map(str, READABLE))}"
    if (found > 1 or "checksum" in record) and not _is_whole(line):
        return None, "its checksum is not that of its content"
    record.pop("checksum", None)
    wrong = _wrong(record)
    return (None, wrong) if wrong else (record, "")


def as_written(line: bytes) -> dict[str, Any] | None:
    """The record of a line that is as `line_of` writes it, else None: nothing is said of the line then.

    pydantic reads and checks it at once, at a third of what the careful way takes. What it would let pass and the careful way refuses
    is looked for afterwards: a key twice (each key ends in `":`, and more of these than keys came out), nesting, numbers too large.
    """
    if len(line) > LONGEST_LINE or line[-_TAIL_BYTES:] != b',"checksum":"%s"}\n' % _checksum(line[:-_TAIL_BYTES]):
        return None
    if b" :" in line or b"\t" in line or b"\r" in line:  # a key may end otherwise
        return None
    try:
        record = _records().validator.validate_json(line)
        keys = 1 + _keys_within(record, _LIMITS.depth)  # and the checksum's, which a record does not have
    except (ValidationError, _UnusualError):
        return None
    written = keys == line.count(b'":') and record.get("format") in READABLE
    return cast(dict[str, Any], record) if written else None


class _UnusualError(Exception):
    """A value that only the careful way can judge."""


def _keys_within(value: Any, depth: int) -> int:
    """How many keys all mappings in `value` have together.

    Raises:
        _UnusualError: it nests deeper than `depth`, or holds a number that may be too long.
    """
    if not depth:
        raise _UnusualError
    keys, members = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for member in members:
        kind = type(member)
        if kind is dict or kind is list:
            keys += _keys_within(member, depth - 1)
        elif kind is int:
            if not -_LONG_NUMBER < member < _LONG_NUMBER:
                raise _UnusualError
        elif kind is float and (member in _INFINITE or (member == 0.0 and math.copysign(1.0, member) < 0)):
            raise _UnusualError  # 1e999 is infinite too, and the careful way reads -0 as 0
    return keys


def json_or_reason(content: bytes, *, halves: bool = True) -> tuple[Any, str]:
    """JSON that we or another program wrote, NaN and (with `halves`) half characters included; or why it is none."""
    try:
        text = content.decode("utf-8", "surrogatepass" if halves else "strict")
        return parse_json(text, "it", limits=_LIMITS, advice="", lenient=True, halves=halves), ""
    except (UserError, UnicodeDecodeError) as error:
        said = first_line(error).removeprefix("it ").removesuffix("; ").removeprefix("is ")
        return None, said if said.startswith("not JSON") else f"not JSON ({said})"


def _is_whole(line: bytes) -> bool:
    match = _CHECKSUM.search(line)
    return match is not None and match[1] == _checksum(line[: match.start()])


def _wrong(record: dict[str, Any]) -> str:
    """What a record lacks or holds in a wrong form, in words; empty where it is a row."""
    try:
        _records().validate_python(record)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        missing = [str(one["loc"][0]) for one in errors if one["type"] == "missing" and len(one["loc"]) == 1]
        if missing:
            return f"a row without {', '.join(missing)}"
        return f"a row whose {inert('.'.join(map(str, errors[0]['loc'][:2])))[:80]} is not what a run writes"
    return ""


def parse_lines(content: bytes) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows of one `.jsonl` file, and (line number, reason) of each line that is damaged.

    A last line without its line end is what a crash leaves: it is dropped without a word, since the runner redoes it.
    """
    rows: list[dict[str, Any]] = []
    damage: list[tuple[int, str]] = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        if not line.strip():
            continue
        row, reason = parse_line(line + b"\n")
        if row is not None:
            rows.append(row)
        else:
            damage.append((number, reason))
    return rows, damage


def first_line(error: BaseException) -> str:
    """Of the error's message, without control characters; its kind where it has none."""
    return inert((str(error).splitlines() or [type(error).__name__])[0])


def _short(value: Any) -> str:
    text = inert(repr(value))
    return text if len(text) <= 40 else text[:37] + "..."
