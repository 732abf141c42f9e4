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
from ropepp_eval.tokens.counting import piece_counter, pieces_of
from ropepp_eval.tokens.tokenizer import Tokenizer

SHORTEST_SENTENCE_TOKENS = 10
"""Shorter sentences are left out, as in the reference."""
LEAST_SPARE_TOKENS = 64
SPARE_TOKENS = 512
"""Sentences taken beyond the room: its end is cut from these, and counts of pieces may be a little too high."""


@dataclass(frozen=True)
class Sentence:
    """A background sentence and its tokens, counted with the blank before it."""

    text: str
    tokens: int


class Background:
    """The sentences of `books` as one tokenizer counts them; each book is counted once, when first met."""

    def __init__(self, books: Books, tokenizer: Tokenizer, settings: BabilongSettings) -> None:
        self.books = books
        self._counter = piece_counter(tokenizer)
        self._settings = settings
        self._counts: dict[int, list[int]] = {}

    def count(self, text: str) -> int:
        """Tokens of a piece of context, the blank before it included."""
        return self._counter.count_inside(" " + self._settings.inside(text))

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
        """Sentences that fill `room_tokens`, and some more to choose the end from.

        Raises:
            UserError: the books hold less than the room; how much is missing is said.
        """
        taken: list[Sentence] = []
        total = 0
        for sentence in self.sentences(stream, repeat=repeat):
            if total >= room_tokens + room_tokens // 50 + SPARE_TOKENS:
                return taken
            taken.append(sentence)
            total += sentence.tokens
        need = room_tokens + LEAST_SPARE_TOKENS
        if total < need:
            raise UserError(
                f"task {task}: the books hold {total} tokens of background where {need} are needed, "
                f"{need - total} are missing; put more books into gutenberg/, use a shorter length, "
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
            sentences = self.books.sentences[book]
            # a word before each text, so that its own first word is learned as it stands inside a context
            self._counter.learn([piece for text in sentences for piece in pieces_of("a " + self._settings.inside(text))[1:]])
            self._counts[book] = [self.count(text) for text in sentences]
        return self._counts[book]


@functools.lru_cache(maxsize=4)
def background_of(books: Books, tokenizer: Tokenizer, settings: BabilongSettings) -> Background:
    """The background of these books, tokens counted once a process."""
    return Background(books, tokenizer, settings)
