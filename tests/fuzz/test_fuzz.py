"""The first mutated files of every format: no traceback, no hang, no gigabyte, no control character, one line a message."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from tests.fuzz.judge import Verdict
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS
from tests.fuzz.workers import verdicts

CASES = 12
"""Of each format; `make fuzz` has 20,000 of all."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[Verdict]]:
    """Verdicts by format; the right file is number -1."""
    by_target = defaultdict(list)
    for verdict in verdicts((target, number) for target in TARGETS for number in range(-1, CASES)):
        by_target[verdict.target].append(verdict)
    return by_target


@pytest.mark.parametrize("target", TARGETS)
def test_the_right_file_is_read(target: str, found: dict[str, list[Verdict]]) -> None:
    right = found[target][0]
    assert (right.number, right.status, right.wrong) == (-1, 0, ""), right.said


@pytest.mark.parametrize("target", TARGETS)
def test_a_mutated_file_is_read_or_refused_in_one_line(target: str, found: dict[str, list[Verdict]]) -> None:
    wrong = [f"{verdict.name}: {verdict.wrong}\n{verdict.said}" for verdict in found[target] if verdict.wrong]
    assert not wrong, "\n".join(wrong)


def test_most_mutations_change_the_file_and_a_number_always_gives_the_same_one() -> None:
    content = b'{"a": [1, 2, {"b": "text"}], "c": null}'
    first = [mutated(content, random.Random(f"x/{number}")) for number in range(200)]
    assert first == [mutated(content, random.Random(f"x/{number}")) for number in range(200)]
    assert sum(changed != content for changed in first) > 180
    assert len(set(first)) > 120
