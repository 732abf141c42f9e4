"""Background sentences with their token counts, as many as a row has room for."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ropepp_eval.data.books import Books
from ropepp_eval.errors import UserError
from ropepp_eval.tasks.babilong.settings import BabilongSettings
from ropepp_eval.tokenizer import Tokenizer

SHORTEST_SENTENCE_TOKENS = 10
"""Shorter sentences are left out, as in the reference."""


@dataclass(frozen=True)
class Sentence:
    """A background sentence and its tokens, counted with the blank before it."""

    text: str
    tokens: int


class Background:
    """The sentences of `books` as one tokenizer counts them; each book is counted once, when first met."""

    def __init__(self, books: Books, tokenizer: Tokenizer, settings: BabilongSettings) -> None:
        self.books = books
        self._tokenizer = tokenizer
        self._settings = settings
        self._counts: dict[int, list[int]] = {}

    def count(self, text: str) -> int:
        """Tokens of a piece of context, the blank before it included."""
        return self._tokenizer.count(" " + self._settings.inside(text))

    def sentences(self, stream: random.Random, *, repeat: bool) -> Iterator[Sentence]:
        """Sentences from random places of the books, each once (again and again with `repeat`)."""
        while True:
            for book, number in self.books.in_random_places(stream):
                tokens = self._counts_of(book)[number]
                if tokens >= SHORTEST_SENTENCE_TOKENS:
                    yield Sentence(self.books.sentences[book][number], tokens)
            if not repeat:
                return

    def take(self, stream: random.Random, room_tokens: int, *, repeat: bool, task: str) -> list[Sentence]:
        """Sentences of at least `room_tokens` tokens together.

        Raises:
            UserError: the books hold less; how much is missing is said.
        """
        taken: list[Sentence] = []
        total = 0
        for sentence in self.sentences(stream, repeat=repeat):
            if total >= room_tokens:
                return taken
            taken.append(sentence)
            total += sentence.tokens
        if total < room_tokens:
            raise UserError(
                f"task {task}: the books hold {total} tokens of background where {room_tokens} are needed, "
                f"{room_tokens - total} are missing; put more books into gutenberg/, use a shorter length, "
                "or ask for repeated text (repeat_text)"
            )
        return taken

    def head(self, sentence: Sentence, room_tokens: int) -> str:
        """The longest beginning of `sentence` that ends at a word and holds at most `room_tokens`; empty where none does."""
        ends = [match.end() for match in re.finditer(r"\S+", sentence.text)]
        low, high = 0, len(ends)  # `low` words fit
        while low < high:
            middle = (low + high + 1) // 2
            if self.count(sentence.text[: ends[middle - 1]]) <= room_tokens:
                low = middle
            else:
                high = middle - 1
        return sentence.text[: ends[low - 1]] if low else ""

    def _counts_of(self, book: int) -> list[int]:
        if book not in self._counts:
            texts = [" " + self._settings.inside(text) for text in self.books.sentences[book]]
            self._counts[book] = self._tokenizer.count_each(texts)
        return self._counts[book]


@functools.lru_cache(maxsize=4)
def background_of(books: Books, tokenizer: Tokenizer, settings: BabilongSettings) -> Background:
    """The background of these books, tokens counted once a process."""
    return Background(books, tokenizer, settings)
