"""A stored line comes back as it was, and one that is not what was written is known for it."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from ropepp_eval.records import _checksum, as_written, judged, line_of, parse_line, parse_lines
from tests.fuzz.mutations import mutated
from tests.stored import record

FAILURE = {"stage": "model", "type": "NonFinite", "message": "a logit is not finite"}


@pytest.mark.parametrize("written", [record("a"), record("a", FAILURE), record("a", scores={"perplexity": [12.5, 3]})])
def test_a_record_comes_back_as_it_was(written: dict[str, Any]) -> None:
    assert parse_line(line_of(written)) == (written, "")


def test_every_changed_byte_is_noticed() -> None:
    line = line_of(record("a"))
    for place in range(len(line) - 1):
        changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        assert parse_line(changed)[0] is None, changed[max(0, place - 20) : place + 20]


def test_a_cut_line_is_no_record_wherever_it_was_cut() -> None:
    line = line_of(record("a"))
    assert not [end for end in range(len(line)) if parse_line(line[:end])[0] is not None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}\n", "a row without checkpoint, "),
        (b"[1]\n", "not a row"),
        (b"\x00\xff\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"format": 3}\n', "format 3, this release reads 1 and 2"),
        (b'{"format": "' + b"2" * 99 + b'"}\n', "format '2222"),
        (b'{"format": true}\n', "format True"),
        (b'{"format": 2}\n', "its checksum is not that of its content"),
    ],
)
def test_what_is_no_record_says_why(line: bytes, reason: str) -> None:
    found, said = parse_line(line)
    assert found is None
    assert said.startswith(reason)
    assert len(said) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("row", "0"), ("row", -1), ("row", True), ("length_tokens", 4096.5), ("task", 7), ("checkpoint", None), ("error", "bad"),
        ("error", {"stage": "model"}), ("scores", [1.0]), ("scores", {"x": "1.0"}), ("scores", {"x": [1.0]}), ("scores", {"x": True}),
        ("details", []), ("responses", "7"), ("stand_in", 1), ("cluster", 3),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_kind_is_named_even_without_a_checksum(field: str, value: Any) -> None:
    old = json.dumps(record("a") | {"format": 1, field: value}).encode() + b"\n"
    found, reason = parse_line(old)
    assert found is None
    assert reason.startswith(f"a row whose {field}")


def test_lines_of_format_1_are_still_read() -> None:
    old = record("a") | {"format": 1}
    assert parse_line(json.dumps(old).encode() + b"\n") == (old, "")


def test_damaged_lines_are_counted_by_number_and_a_cut_last_one_is_not() -> None:
    good = line_of(record("a"))
    rows, damage = parse_lines(good + b"junk\n\n" + good + good[:-9])
    assert [row["key"] for row in rows] == ["a", "a"]
    assert [number for number, _ in damage] == [2]


def test_numbers_that_are_not_finite_are_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        line_of(record("a", scores={"x": float("nan")}))


@pytest.mark.parametrize(
    "line",
    [b"[" * 40 + b"]" * 40 + b"\n", b'{"format": 1, "format": 1}\n', b'{"x": ' + b"9" * 40 + b"}\n", b'{"\x1b[31m": \n'],
)
def test_why_a_line_is_no_record_is_one_line_without_control_characters(line: bytes) -> None:
    found, reason = parse_line(line)
    assert found is None
    assert reason.startswith("not JSON (")
    assert reason.isprintable()


def sealed(body: bytes) -> bytes:
    """A line with the right checksum, whatever is in it."""
    return body + b',"checksum":"%s"}\n' % _checksum(body)


def agreed(line: bytes) -> bool:
    """Whether the quick way takes a line; what it takes the careful way must take too, as the same values."""
    quick = as_written(line)
    if quick is None:
        return False
    careful, reason = judged(line)
    assert careful is not None, reason
    assert repr(sorted(quick.items())) == repr(sorted(careful.items()))  # NaN is NaN, 1 is not 1.0
    return True


@pytest.mark.parametrize("changes", [{}, {"error": FAILURE, "scores": None}, {"scores": {"a": [1.5, 3], "b": None}}])
def test_a_line_that_a_run_writes_is_read_the_quick_way(changes: dict[str, Any]) -> None:
    assert agreed(line_of(record("a", responses=["ä\u2028 7", [-0.5, True]], **changes)))


def test_the_quick_way_takes_no_line_that_the_careful_way_refuses() -> None:
    """Of lines whose bytes are anything and whose checksum is right all the same."""
    bodies = [line_of(record("a", responses=["7"], details={"depth": 50.0, "needles": [{"key": "k", "at": 3}]}))[:-32]]
    bodies.append(
        line_of(record("b", scores={"x": [12.5, 3.0], "y": 1}, question='what is "it": 7?', choices=["a", "b"], gold=1))[
            :-32
        ]
    )
    taken = 0
    for number in range(3000):
        stream = random.Random(number)
        taken += agreed(sealed(mutated(stream.choice(bodies), stream).replace(b"\n", b"")))
    assert taken > 100  # some mutations leave a record


ODD = (
    "-0", "-0.0", "0.0", "1E5", "1e-400", "1e308", "1e999", "-1e999", "123456789012345678901", "-9999999999999999999", "99999999999999999999",
    "NaN", "-NaN", "Infinity", "-Infinity", "nan", "01", "+1", "1.", ".5", "1e", "0x1", "1_0", "true", "tru", "null", "5e-324", "9007199254740993.0",
    "2.2250738585072011e-308", "0.30000000000000004", '"\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\/"', '"\\x"', '"\x7f"', '"\x1f"', '"\u2028"',
    '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"a" :1,"a":2}', '{"a"\t:1,"a":2}', '1,"row":1', '1,"extra":1', "[" * 28 + "]" * 28, "[" * 40 + "]" * 40, '"a\\":1"',
)  # fmt: skip


@pytest.mark.parametrize("place", ["details", "scores", "seconds", "seed", "extra"])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_is_no_way_past_the_careful_one(place: str, odd: str) -> None:
    body = line_of(record("a", scores={"x": 111.5}, seconds=222.5, seed=333, details={"depth": 444.5}))[:-32]
    known = {"details": b"444.5", "scores": b"111.5", "seconds": b"222.5", "seed": b"333"}
    if place == "extra":
        changed = body + b',"extra":' + odd.encode()
    else:
        changed = re.sub(re.escape(known[place]), lambda _: odd.encode(), body)
    agreed(sealed(changed))
