"""The words RULER draws from (wonderwords 3.0.1), read when first needed.

The 6,171,620 `adjective-noun` pairs are indexed by arithmetic and never built: as a list they take 0.75 GB.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from importlib import resources
from typing import overload

_FILES = {"nouns": "nounlist.txt", "adjectives": "adjectivelist.txt", "verbs": "verblist.txt"}


@functools.lru_cache(maxsize=3)
def word_list(kind: str) -> tuple[str, ...]:
    """`nouns`, `adjectives` or `verbs`: each word once, sorted."""
    text = resources.files("wonderwords").joinpath("assets", _FILES[kind]).read_text(encoding="utf-8")
    return tuple(sorted({line.strip() for line in text.splitlines() if line.strip()}))


@functools.lru_cache(maxsize=1)
def all_words() -> tuple[str, ...]:
    """Nouns, adjectives and verbs together, each once, sorted: 8,166 words."""
    return tuple(sorted({word for kind in _FILES for word in word_list(kind)}))


class AdjectiveNouns(Sequence[str]):
    """All `adjective-noun` pairs: every adjective with every noun, adjective first."""

    def __init__(self) -> None:
        self._adjectives, self._nouns = word_list("adjectives"), word_list("nouns")

    def __len__(self) -> int:
        return len(self._adjectives) * len(self._nouns)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        adjective, noun = divmod(range(len(self))[index], len(self._nouns))
        return f"{self._adjectives[adjective]}-{self._nouns[noun]}"

    def draw(self, stream: random.Random) -> str:
        """One pair, every one equally likely."""
        return f"{stream.choice(self._adjectives)}-{stream.choice(self._nouns)}"


@functools.lru_cache(maxsize=1)
def adjective_nouns() -> AdjectiveNouns:
    """The one pool of pairs."""
    return AdjectiveNouns()
