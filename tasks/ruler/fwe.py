"""`fwe`, frequent words extraction: the three coded words that come most often, among dots, by a zeta distribution.

Source: RULER v1 (NVIDIA/RULER c3f5e3b), `freq_words_extraction.py` with alpha 2; the same choices give the same text to
the byte.
"""

from __future__ import annotations

import functools
import math
import random
import string
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.ruler.family import Family, Shuffle, shuffled

_ZETA_OF_2 = math.pi**2 / 6
_NOISE = "..."


@dataclass(frozen=True, kw_only=True)
class FweChoices:
    """Every random choice behind a text."""

    vocabulary: tuple[str, ...]
    """Coded words, the most frequent first; the first is the noise, three dots."""
    words: int
    """Length of the text in words, before rounding each count down."""
    shuffle_seed: int | str
    """The words are shuffled by a fresh generator with this seed; see `shuffled`."""

    def counts(self) -> list[int]:
        """How often each word of the vocabulary comes, as far as it comes at all."""
        return word_counts(self.words, len(self.vocabulary))

    def mixed(self) -> list[str]:
        """The words of the text."""
        words = [word for word, count in zip(self.vocabulary, self.counts(), strict=False) for _ in range(count)]
        return shuffled(words, self.shuffle_seed)


@functools.lru_cache(maxsize=256)
def word_counts(words: int, vocabulary: int) -> list[int]:
    """Counts of the words of rank 1, 2, ... in a text of `words` words: a share of rank^-2 / zeta(2), rounded down."""
    counts = []
    for rank in range(1, vocabulary + 1):
        count = int(words * rank**-2.0 / _ZETA_OF_2)
        if not count:
            break
        counts.append(count)
    return counts


def render_fwe(choices: FweChoices, texts: dict[str, Any]) -> str:
    """The prompt of these choices."""
    head, tail = frame(texts)
    return head + " ".join(choices.mixed()) + tail


def frame(texts: dict[str, Any]) -> tuple[str, str]:
    """What stands before and after the words."""
    head, tail = (texts["template"] + texts["answer_prefix"]).split("{context}")
    return head, tail


class FweRows(Family):
    """Builds `fwe` rows. The size is the number of words of the text."""

    name = "fwe"

    def row(self, number: int) -> Row:
        stream = self.stream(number, "vocabulary")
        largest = 2 * self.request.length_tokens
        room = self.request.length_tokens - int(self.texts["vocabulary_reserve_tokens"])
        size = max(4, room // int(self.texts["tokens_a_vocabulary_word"]))
        shuffle = Shuffle(stream.getrandbits(64), largest)
        vocabulary = self._vocabulary(stream, len(word_counts(largest, size)))
        tokens_of = self.counter.each_learned(list(vocabulary))
        smallest = 4 * 4 * 2  # the fourth most frequent word, the third answer, comes at least once
        head, tail = frame(self.texts)

        def inside(words: int) -> int:
            counts = word_counts(words, size)
            return sum(count * tokens for count, tokens in zip(counts, tokens_of, strict=False))

        def prompt(words: int) -> str:
            counts = word_counts(words, size)
            in_turn = np.repeat(np.array(vocabulary[: len(counts)], dtype=object), counts)
            return head + " ".join(in_turn[shuffle.order(len(in_turn))].tolist()) + tail

        def count(words: int) -> int:
            return self.counter.count(prompt(words))

        fixed = count(smallest) - inside(smallest)
        words, tokens = self.fit(lambda n: fixed + inside(n), count, smallest, max(smallest, largest))
        details = {"words": words, "vocabulary": size, "counts": word_counts(words, size)[1:4]}
        return self.make_row(number, prompt(words), tokens, vocabulary[1:4], details=details)

    def _vocabulary(self, stream: random.Random, size: int) -> tuple[str, ...]:
        """Different coded words of six letters, after the dots: as many as can come in a text at all."""
        words: dict[str, None] = {}
        letters = int(self.texts["letters"])
        while missing := size - 1 - len(words):
            drawn = "".join(stream.choices(string.ascii_lowercase, k=letters * missing))
            words |= dict.fromkeys(drawn[i : i + letters] for i in range(0, len(drawn), letters))
        return (_NOISE, *words)
