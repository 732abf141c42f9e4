"""The order in which questions are asked where several are about one document: rows of one document tell less than as many documents."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def documents_in_turn(items: Iterable[Item], document: Callable[[Item], Hashable]) -> list[Item]:
    """All items, so that every document gives one before any gives its second, and so on.

    In round r the d-th document gives its item number (r + d) modulo their count, so that a round holds first, middle and last items
    alike (later questions of a story have more facts before them). The order hangs on the items alone.
    """
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(document(item), []).append(item)
    rounds = max(map(len, groups.values()), default=0)
    return [
        group[(turn + place) % len(group)]
        for turn in range(rounds)
        for place, group in enumerate(groups.values())
        if turn < len(group)
    ]
