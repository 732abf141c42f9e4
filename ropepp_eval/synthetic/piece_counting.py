"""Counting tokens by pieces: words are tokenized once, and the count of a text is the sum of its words' counts.

A text is cut before every single blank that has a non-blank on both sides. Where no token of the vocabulary holds a
non-blank followed by a blank, no token can lie across such a cut, and white space is never torn apart, so the pieces
are tokenized alone exactly as they are inside the text (byte-level BPE, SentencePiece and WordPiece alike). A 64k
prompt is then counted in some 5 ms instead of 150 ms. Tokenizers without that property are counted the slow way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from ropepp_eval.tokenizer import Tokenizer

_CUT = re.compile(r"(?<=\S) (?=\S)")
_SPANS_A_CUT = re.compile(r"\S ")
_ANCHOR = "a"  # pieces are tokenized after it, so that what a tokenizer puts before a text's beginning is not counted
_MOST_PIECES = 400_000
_PROBE = 'Here is "one" text of 3,141 words:\n\nIt isn\'t long: VAR XYZ = 54131 \nVAR A = VAR XYZ  (1f0c-77) ... and\tso. '


class PieceCounter:
    """Counts tokens of texts that are made of the same words again and again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.independent = _pieces_are_independent(tokenizer)
        """True where pieces add up exactly; False: every count is a real one, and slow."""
        self._anchor_tokens = tokenizer.count(_ANCHOR)
        self._inside: dict[str, int] = {}
        self._heads: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Tokens of `text`, the same number as `tokenizer.count(text)`."""
        if not self.independent:
            return self.tokenizer.count(text)
        words = text.split(" ")
        try:
            if not words[0] or words[0][-1].isspace():
                raise _TornBlanks
            return self._head(words[0]) + self._sum(words[1:])
        except _TornBlanks:
            pieces = _CUT.split(text)
            return self._head(pieces[0]) + self._sum_pieces(pieces[1:])

    def count_inside(self, text: str) -> int:
        """Tokens that `text` adds where it stands between two cuts: it begins with the blank of a cut.

        An estimate where pieces are not independent.
        """
        if text[:1] != " ":
            raise ValueError(f"text {text[:40]!r} does not begin at a cut")
        if not self.independent:
            return self.tokenizer.count(_ANCHOR + text) - self._anchor_tokens
        words = text[1:].split(" ")
        try:
            return self._sum(words)
        except _TornBlanks:
            return self._sum_pieces(_CUT.split(_ANCHOR + text)[1:])

    def learn(self, words: Iterable[str]) -> None:
        """Tokenize words (without their leading blank) that are still unknown, all in one call."""
        new = [word for word in dict.fromkeys(words) if word not in self._inside]
        if len(self._inside) + len(new) > _MOST_PIECES:
            self._inside.clear()
            new = list(dict.fromkeys(words))
        for word, tokens in zip(new, self._counts_of(new), strict=True):
            self._inside[word] = tokens

    def each_inside(self, words: list[str]) -> list[int]:
        """Tokens of each word (without its leading blank) where it follows a cut; nothing is remembered.

        For words that do not come back, such as random numbers.
        """
        return self._counts_of(words)

    def _counts_of(self, words: list[str]) -> list[int]:
        counts = self.tokenizer.count_each([f"{_ANCHOR} {word}" for word in words])
        return [count - self._anchor_tokens for count in counts]

    def _head(self, piece: str) -> int:
        """Tokens of the first piece, which no blank of a cut precedes."""
        if piece not in self._heads:
            if len(self._heads) > _MOST_PIECES:
                self._heads.clear()
            self._heads[piece] = self.tokenizer.count(piece)
        return self._heads[piece]

    def _sum(self, words: list[str]) -> int:
        """Sum over words that `split(" ")` gave; raises _TornBlanks where a cut would touch white space."""
        try:
            return sum(map(self._inside.__getitem__, words))
        except KeyError:
            missing = [word for word in dict.fromkeys(words) if word not in self._inside]
        if any(not word or word[0].isspace() or word[-1].isspace() for word in missing):
            raise _TornBlanks
        self.learn(words)
        return sum(map(self._inside.__getitem__, words))

    def _sum_pieces(self, pieces: list[str]) -> int:
        """Sum over pieces of `_CUT`; only the last one can end with white space, and it is not remembered."""
        if pieces and pieces[-1][-1:].isspace():
            return self._counts_of(pieces[-1:])[0] + self._sum_pieces(pieces[:-1])
        self.learn(pieces)
        return sum(map(self._inside.__getitem__, pieces))


class _TornBlanks(Exception):
    """A blank stands next to other white space, so the quick split is not the right one."""


@functools.lru_cache(maxsize=8)
def piece_counter(tokenizer: Tokenizer) -> PieceCounter:
    """The counter of a tokenizer, with what it has learned so far."""
    return PieceCounter(tokenizer)


def _pieces_are_independent(tokenizer: Tokenizer) -> bool:
    """Whether no token lies across a cut (from the vocabulary), checked on a text full of awkward places."""
    vocabulary = tokenizer.fast.backend_tokenizer.get_vocab(with_added_tokens=False)
    if any(_SPANS_A_CUT.search(_spelled(token)) for token in vocabulary):
        return False
    pieces = _CUT.split(_PROBE)
    anchor = tokenizer.count(_ANCHOR)
    inside = sum(count - anchor for count in tokenizer.count_each([f"{_ANCHOR} {piece}" for piece in pieces[1:]]))
    return tokenizer.count(pieces[0]) + inside == tokenizer.count(_PROBE)


def _spelled(token: str) -> str:
    """A token of the vocabulary as text: byte-level BPE writes a blank as `Ġ`, SentencePiece as `▁`."""
    if "Ġ" in token and all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token).decode("utf-8", "replace")
    return token.replace("▁", " ")


def _byte_alphabet() -> dict[str, int]:
    """The byte behind each character of byte-level BPE: printable bytes stand for themselves, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


_BYTES = _byte_alphabet()
