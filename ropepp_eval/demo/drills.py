"""Short exercises without a benchmark's frame: copies of random tokens, pairs to look up, word lists.

Each takes (document, stream, room) and appends at most about `room` tokens. They teach a small model within a few hundred steps
to find what was read before, which long prompts with one answer each do not.
"""

from __future__ import annotations

import random

from ropepp_eval.demo.document import ANSWER, NOTHING, TEXT, Document
from ropepp_eval.text.word_pools import adjective_nouns, all_words

_LONGEST_COPY = 40
_COPIED_TOKENS = 256
"""Copies are drawn from so many entries of the vocabulary: each is then met often enough to be copied after a few hundred steps."""
_PAIR_TOKENS = 17
_WORD_TOKENS = 3


def repeats(document: Document, stream: random.Random, room: int) -> None:
    """Random tokens, then the same again once or more."""
    length = stream.randint(4, max(4, min(_LONGEST_COPY, room // 2)))
    vocabulary = document.tokenizer.fast.backend_tokenizer.get_vocab_size()
    size = stream.choice((32, 64, _COPIED_TOKENS))
    tokens = [stream.randrange(vocabulary - size, vocabulary) for _ in range(length)]
    document.add_tokens(tokens, NOTHING)
    for _ in range(max(1, min(3, room // length - 1))):
        document.add_tokens(tokens, ANSWER)


def pairs(document: Document, stream: random.Random, room: int) -> None:
    """`key is: digits.` for some keys, then the same keys in another order."""
    count = stream.randint(1, max(1, min(6, room // (2 * _PAIR_TOKENS))))
    digits = stream.randint(2, 7)
    table = [(adjective_nouns().draw(stream), str(stream.randint(10 ** (digits - 1), 10**digits - 1))) for _ in range(count)]
    for key, value in table:
        document.add(f" {key} is: {value}.")
    for key, value in stream.sample(table, count):
        document.add(f" {key} is:")
        document.add(f" {value}.", ANSWER)


def word_lists(document: Document, stream: random.Random, room: int) -> None:
    """A numbered list of words, then the list again."""
    count = stream.randint(3, max(3, min(20, room // (4 * _WORD_TOKENS))))
    text = "".join(f" {number}. {stream.choice(all_words())}" for number in range(1, count + 1))
    document.add(text, TEXT)
    document.add("\nAgain:")
    document.add(text, ANSWER)
