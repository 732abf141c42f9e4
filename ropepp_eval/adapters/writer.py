"""New tokens of one row, the text they make, and when to stop. No torch."""

from __future__ import annotations

from typing import Any

CONTEXT_TOKENS = 4
"""Tokens decoded again before new ones, so that a character over several tokens, or a blank at a seam, comes out right."""


def first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop text begins, or None."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


class Writer:
    """Collects the new tokens of one row and says when it is done.

    A stop text counts wherever it stands in the text, however its characters are spread over tokens. To see it early without
    decoding everything again at each token, only the end of the text is decoded, as far back as the longest stop can reach.
    """

    def __init__(self, tokenizer: Any, budget: int, stops: tuple[str, ...], end_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.budget = budget
        self.stops = stops
        self.end_ids = end_ids
        self.ids: list[int] = []
        self.finish: str | None = None
        # A token makes at least one byte, and a character has at most four.
        self._reach = CONTEXT_TOKENS + 4 * max(map(len, stops), default=0)

    def add(self, token: int) -> bool:
        """Take the next token; True when the row is finished."""
        self.ids.append(token)
        if token in self.end_ids:
            self.finish = "eos"
        elif self.stops and self._stopped():
            self.finish = "stop"
        elif len(self.ids) >= self.budget:
            self.finish = "length"
        return self.finish is not None

    def _stopped(self) -> bool:
        tail = self._decode(self.ids[-self._reach :])
        return first_stop(tail, self.stops) is not None and first_stop(self._decode(self.ids), self.stops) is not None

    def _decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def result(self) -> str:
        """The text before the first stop text."""
        text = self._decode(self.ids)
        end = first_stop(text, self.stops)
        if end is not None and self.finish == "length":
            self.finish = "stop"
        return text[:end]
