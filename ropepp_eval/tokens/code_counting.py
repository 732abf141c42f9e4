"""Counting random numbers, UUIDs and hyphened keys: words that never come back, made of parts that do.

Most vocabularies have no token with a letter or digit followed by a mark, or with a letter beside a digit. Where that is
so, `0a34-fc.` is tokenized as `0`, `a`, `34`, `-fc`, `.` are in these surroundings, and the parts are few enough to remember.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from ropepp_eval.tokens.counting import PieceCounter, plain_vocabulary

_PART = re.compile(r"[^a-zA-Z0-9]*(?:[a-zA-Z]+|[0-9]+|$)")
_MIXED = re.compile(r"[a-zA-Z0-9][!-/:-@\[-`{-~]|[a-zA-Z][0-9]|[0-9][a-zA-Z]")
_PROBE = ["wide-eyed-bracket", "0a3450fc-9918-4e46-9497-d6587010f719", "7f1.", "2166941.", "x-rated-e2e"]
_MOST_PARTS = 400_000


class CodeCounter:
    """Tokens of words (without their leading blank) where they follow a blank that is a cut."""

    def __init__(self, counter: PieceCounter) -> None:
        self.counter = counter
        self._first: dict[str, int] = {}
        self._later: dict[str, int] = {}
        self.by_parts = self._parts_are_independent()
        """False: words are tokenized whole."""

    def count_each(self, words: Sequence[str]) -> list[int]:
        """Tokens of each word."""
        if not self.by_parts:
            return self.counter.each_inside(list(words))
        split = [_PART.findall(word) for word in words]
        self._learn({parts[0] for parts in split}, {part for parts in split for part in parts[1:]})
        first, later = self._first, self._later
        return [first[parts[0]] + sum([later[part] for part in parts[1:]]) for parts in split]

    def _learn(self, firsts: set[str], laters: set[str]) -> None:
        """Tokenize unknown parts: a first one after a blank, a later one after a letter or digit it does not mix with."""
        if len(self._first) + len(self._later) > _MOST_PARTS:
            self._first.clear()
            self._later.clear()
        new = [part for part in firsts if part not in self._first]
        self._first.update(zip(new, self.counter.each_inside(new), strict=True))
        new = [part for part in laters if part not in self._later]
        before = ["0" if part[:1].isalpha() else "a" for part in new]
        counts = self.counter.each_inside([f"{anchor}{part}" for anchor, part in zip(before, new, strict=True)])
        alone = dict(zip("0a", self.counter.each_inside(["0", "a"]), strict=True))
        self._later.update((part, count - alone[b]) for part, count, b in zip(new, counts, before, strict=True))

    def _parts_are_independent(self) -> bool:
        vocabulary = plain_vocabulary(
            self.counter.tokenizer
        )  # every spelling leaves letters, digits and ASCII marks as they are
        if not self.counter.independent or any(_MIXED.search(token) for token in vocabulary):
            return False
        self.by_parts = True
        return self.count_each(_PROBE) == self.counter.each_inside(_PROBE)


@functools.lru_cache(maxsize=8)
def code_counter(counter: PieceCounter) -> CodeCounter:
    """The counter of a tokenizer's codes, with what it has learned so far."""
    return CodeCounter(counter)
