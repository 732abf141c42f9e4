"""Greedy generation with early exit at stop texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generated:
    """One finished generation."""

    text: str
    tokens: int
    finish: str
    """`stop`, `eos` or `length`."""


def first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop text begins, or None."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


class Writer:
    """Collects the new tokens of one row and says when it is done."""

    def __init__(self, tokenizer: Any, budget: int, stops: tuple[str, ...], end_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.budget = budget
        self.stops = stops
        self.end_ids = end_ids
        self.ids: list[int] = []
        self.finish: str | None = None

    def add(self, token: int) -> bool:
        """Take the next token; True when the row is finished."""
        self.ids.append(token)
        if token in self.end_ids:
            self.finish = "eos"
        elif self.stops and first_stop(self.text(), self.stops) is not None:
            self.finish = "stop"
        elif len(self.ids) >= self.budget:
            self.finish = "length"
        return self.finish is not None

    def text(self) -> str:
        """All new text, special tokens left out."""
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        return text

    def result(self) -> Generated:
        """The text before the first stop."""
        text = self.text()
        return Generated(text[: first_stop(text, self.stops)], len(self.ids), self.finish or "length")
