"""Counting tokens by pieces: words are tokenized once, and the count of a text is the sum of its words' counts.

A text is cut before every single blank that has a non-blank on both sides, and a 64k prompt is counted without tokenizing it
whole. Where that is exact, and why: `ropepp_eval.tokens.exactness`. Other tokenizers and texts are counted whole.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from ropepp_eval.tokens.exactness import ANCHOR, CUT, KEPT, pieces_of_tokenizer
from ropepp_eval.tokens.ids import Tokenizer

_RARE_SPACES = "\t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_MOST_PIECES = 400_000


class PieceCounter:
    """Counts tokens of texts that are made of the same words again and again."""

    def __init__(self, tokenizer: Tokenizer, independent: bool | None = None) -> None:
        self.tokenizer = tokenizer
        self._pieces = pieces_of_tokenizer(tokenizer)
        self.independent = self._pieces.exact if independent is None else independent
        """True where pieces add up exactly, but for texts with certain added tokens; False: every count is a real one, and slow."""
        self._anchor_tokens = tokenizer.count(ANCHOR)
        self._inside: dict[str, int] = {}
        self._heads: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Tokens of `text`, the same number as `tokenizer.count(text)`."""
        if not self._by_pieces(text):
            return self.tokenizer.count(text)
        first, *others = pieces_of(text)
        return self._head(first) + self._sum(others)

    def count_inside(self, text: str) -> int:
        """Tokens that `text` adds where it stands between two cuts: it begins with the blank of a cut.

        An estimate where pieces are not independent.
        """
        if text[:1] != " ":
            raise ValueError(f"text {text[:40]!r} does not begin at a cut")
        if not self._by_pieces(text):
            return self.tokenizer.count(ANCHOR + text) - self._anchor_tokens
        return self._sum(pieces_of(ANCHOR + text)[1:])

    def learn(self, pieces: Iterable[str]) -> None:
        """Tokenize pieces (without their leading blank) that are still unknown, all in one call."""
        new = [piece for piece in dict.fromkeys(pieces) if piece not in self._inside]
        if len(self._inside) + len(new) > _MOST_PIECES:
            self._inside.clear()
            new = list(dict.fromkeys(pieces))
        self._inside.update(zip(new, self.each_inside(new), strict=True))

    def each_learned(self, pieces: list[str]) -> list[int]:
        """Tokens of each piece (without its leading blank) where it follows a cut; they are remembered."""
        self.learn(pieces)
        return [self._inside[piece] for piece in pieces]

    def each_inside(self, pieces: list[str]) -> list[int]:
        """Tokens of each piece (without its leading blank) where it follows a cut; nothing is remembered."""
        counts = self.tokenizer.count_each([f"{ANCHOR} {piece.replace(KEPT, ' ')}" for piece in pieces])
        return [count - self._anchor_tokens for count in counts]

    def _by_pieces(self, text: str) -> bool:
        return self.independent and self._pieces.fit(text)

    def _head(self, piece: str) -> int:
        """Tokens of the first piece, which no blank of a cut precedes."""
        if piece not in self._heads:
            if len(self._heads) > _MOST_PIECES:
                self._heads.clear()
            self._heads[piece] = self.tokenizer.count(piece.replace(KEPT, " "))
        return self._heads[piece]

    def _sum(self, pieces: list[str]) -> int:
        """Sum over pieces; the few that are unknown are learned on the way."""
        tokens = list(map(self._inside.get, pieces))
        if None in tokens:
            self.learn([piece for piece, found in zip(pieces, tokens, strict=True) if found is None])
            tokens = list(map(self._inside.get, pieces))
        if None in tokens:  # room was made by forgetting the others
            self.learn(pieces)
            tokens = list(map(self._inside.get, pieces))
        return sum(tokens)  # type: ignore[arg-type]

    def positions(self, text: str, offsets: Iterable[int]) -> list[int]:
        """For each character offset (rising): tokens of `text` before it, a blank before it not counted.

        Where a token lies across an offset, it counts as before it.
        """
        if not self._by_pieces(text):
            return [self.tokenizer.count(text[:offset].rstrip(" ")) for offset in offsets]
        found, begin, before = [], 0, 0
        for offset in offsets:
            cut = text.rfind(" ", 0, max(offset - 1, 0))
            while cut > 0 and (text[cut - 1].isspace() or text[cut + 1].isspace()):
                cut = text.rfind(" ", 0, cut)
            if cut > begin:
                before += self._count_from(begin, text[begin:cut])
                begin = cut
            rest = text[begin:offset].rstrip(" ")
            found.append(before + (self._count_from(begin, rest) if rest else 0))
        return found

    def _count_from(self, begin: int, part: str) -> int:
        return self.count_inside(part) if begin else self.count(part)


def pieces_of(text: str) -> list[str]:
    """The text cut at its single blanks; blanks that are no cuts are written as `KEPT`.

    The quick way is a plain split at blanks, after those beside another blank or a newline were replaced; it takes a
    tenth of the regular expression's time. Texts with rarer white space beside a blank go through the expression.
    """
    if any(space in text and (f" {space}" in text or f"{space} " in text) for space in _RARE_SPACES):
        return [piece.replace(" ", KEPT) for piece in CUT.split(text)]
    kept = text.replace(" \n", f"{KEPT}\n").replace("\n ", f"\n{KEPT}").replace("  ", KEPT * 2)
    while f"{KEPT} " in kept or f" {KEPT}" in kept:
        kept = kept.replace(f"{KEPT} ", KEPT * 2).replace(f" {KEPT}", KEPT * 2)
    if kept[:1] == " ":
        kept = KEPT + kept[1:]
    if kept[-1:] == " ":
        kept = kept[:-1] + KEPT
    return kept.split(" ")


@functools.lru_cache(maxsize=8)
def piece_counter(tokenizer: Tokenizer) -> PieceCounter:
    """The counter of a tokenizer, with what it has learned so far."""
    return PieceCounter(tokenizer)
