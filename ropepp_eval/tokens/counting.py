"""Counting tokens by pieces: words are tokenized once, and the count of a text is the sum of its words' counts.

A text is cut before every single blank that has a non-blank on both sides. Where no token of the vocabulary holds a
non-blank followed by a blank, no token can lie across such a cut, and white space is never torn apart, so the pieces
are tokenized alone exactly as they are inside the text (byte-level BPE, SentencePiece and WordPiece alike). A 64k
prompt is then counted without tokenizing it whole. Tokenizers without that property are counted the slow way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from ropepp_eval.tokens.tokenizer import Tokenizer

_CUT = re.compile(r"(?<=\S) (?=\S)")
_SPANS_A_CUT = re.compile(r"\S ")
_BLANKS = re.compile("[ Ġ▁]")
_RARE_SPACES = "\t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
KEPT = "\x00"
"""Stands for a blank that is no cut."""
ANCHOR = "a"
"""Pieces are tokenized after it, so that what a tokenizer puts before a text's beginning is not counted."""
_MOST_PIECES = 400_000
_PROBE = 'Here is "one" text of 3,141 words:\n\nIt isn\'t long: VAR XYZ = 54131 \nVAR A = VAR XYZ  (1f0c-77) ... and\tso. '


class PieceCounter:
    """Counts tokens of texts that are made of the same words again and again."""

    def __init__(self, tokenizer: Tokenizer, independent: bool | None = None) -> None:
        self.tokenizer = tokenizer
        self.independent = pieces_are_independent(tokenizer) if independent is None else independent
        """True where pieces add up exactly; False: every count is a real one, and slow."""
        self._anchor_tokens = tokenizer.count(ANCHOR)
        self._inside: dict[str, int] = {}
        self._heads: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Tokens of `text`, the same number as `tokenizer.count(text)`."""
        if not self.independent or KEPT in text:
            return self.tokenizer.count(text)
        first, *others = pieces_of(text)
        return self._head(first) + self._sum(others)

    def count_inside(self, text: str) -> int:
        """Tokens that `text` adds where it stands between two cuts: it begins with the blank of a cut.

        An estimate where pieces are not independent.
        """
        if text[:1] != " ":
            raise ValueError(f"text {text[:40]!r} does not begin at a cut")
        if not self.independent or KEPT in text:
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
        if not self.independent or KEPT in text:
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
        return [piece.replace(" ", KEPT) for piece in _CUT.split(text)]
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


@functools.lru_cache(maxsize=8)
def pieces_are_independent(tokenizer: Tokenizer) -> bool:
    """Whether no token lies across a cut (from the vocabulary), checked on a text full of awkward places."""
    if any(_SPANS_A_CUT.search(_spelled(token)) for token in plain_vocabulary(tokenizer) if _BLANKS.search(token, 1)):
        return False
    pieces = _CUT.split(_PROBE)
    anchor = tokenizer.count(ANCHOR)
    inside = sum(count - anchor for count in tokenizer.count_each([f"{ANCHOR} {piece}" for piece in pieces[1:]]))
    return tokenizer.count(pieces[0]) + inside == tokenizer.count(_PROBE)


def plain_vocabulary(tokenizer: Tokenizer) -> list[str]:
    """The tokens of a vocabulary as it spells them, without special ones."""
    backend = tokenizer.fast.backend_tokenizer
    special = {token.content for token in backend.get_added_tokens_decoder().values()}
    return [token for token in backend.get_vocab(with_added_tokens=False) if token not in special]


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
