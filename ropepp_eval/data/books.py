"""Books as sentences, and the text of one row drawn from them: background for facts to hide in."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.data.folder import DataFolder
from ropepp_eval.data.sentences import split_sentences
from ropepp_eval.data.text_files import read_text
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

STAND_IN_BOOKS = 8
STAND_IN_SENTENCES = 4000


@dataclass(frozen=True)
class Books:
    """Books in name order, each a tuple of its sentences."""

    sentences: tuple[tuple[str, ...], ...]
    stand_in: bool
    """True where the books are generated filler."""

    def in_random_places(self, stream: random.Random) -> Iterator[tuple[int, int]]:
        """(book, sentence) numbers, each once: books in random order, each read from a random sentence round to it again.

        The reference starts at a random character of a random book for every stretch and may meet the same text twice in a
        row; here a text comes twice only when all of it was used.
        """
        order = list(range(len(self.sentences)))
        stream.shuffle(order)
        for book in order:
            count = len(self.sentences[book])
            first = stream.randrange(count)
            for step in range(count):
                yield book, (first + step) % count


def load_books(data: DataFolder) -> Books:
    """The books of `data` (`gutenberg/*.txt`), or generated filler where there is no folder.

    Raises:
        UserError: the folder has no books, or one of them is empty.
    """
    paths = data.files("gutenberg", "*.txt")
    if not paths:
        return _stand_in_books()
    return Books(tuple(_sentences_of(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths), stand_in=False)


@functools.lru_cache(maxsize=64)
def _sentences_of(path: Path, size: int, modified_ns: int) -> tuple[str, ...]:
    """Sentences of one book; size and time are part of the key, so that a changed file is read again."""
    text = read_text(path)
    # as the reference's splitter sees a stretch of a book, whose ends are cut anywhere: first and last sentence are left out
    sentences = tuple(split_sentences(text)[1:-1])
    if not sentences:
        raise UserError(f"book {inert(path)} holds fewer than three sentences; remove it or put back the whole text")
    return sentences


@functools.lru_cache(maxsize=1)
def _stand_in_books() -> Books:
    from ropepp_eval.text.filler import filler_sentences

    books = [itertools.islice(filler_sentences("stand-in book", book), STAND_IN_SENTENCES) for book in range(STAND_IN_BOOKS)]
    return Books(tuple(tuple(book) for book in books), stand_in=True)
