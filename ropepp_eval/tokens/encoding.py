"""Encoding by pieces: words are tokenized once, and a text's ids are its words' ids joined.

For prompts of thousands of tokens made of the same words again and again, as most long-context benchmarks' are. The cuts and
why they are exact: `ropepp_eval.tokens.exactness`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ropepp_eval.tokens.counting import pieces_of
from ropepp_eval.tokens.exactness import ANCHOR, KEPT, pieces_of_tokenizer
from ropepp_eval.tokens.ids import Tokenizer

_MOST_PIECES = 200_000


class PieceEncoder:
    """Token ids of texts, without special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._pieces = pieces_of_tokenizer(tokenizer)
        self._inside: dict[str, list[int]] = {}
        self._anchor_tokens = tokenizer.count(ANCHOR)

    def encode_each(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, the same as `tokenizer.encode(text)`: by pieces where these add up, else whole, on all cores."""
        texts = list(texts)
        whole = [text for text in texts if not self._pieces.fit(text)]
        known = dict(zip(whole, self.tokenizer.encode_each(whole), strict=True)) if whole else {}
        return [known[text] if text in known else self._joined(text) for text in texts]

    def _joined(self, text: str) -> list[int]:
        if len(self._inside) > _MOST_PIECES:
            self._inside.clear()
        first, *others = pieces_of(text)
        ids = list(map(self._inside.get, others))
        if None in ids:
            self._learn(list(dict.fromkeys(piece for piece, found in zip(others, ids, strict=True) if found is None)))
            ids = list(map(self._inside.get, others))
        return [*self.tokenizer.encode(first.replace(KEPT, " ")), *chain.from_iterable(ids)]  # type: ignore[arg-type]

    def _learn(self, pieces: list[str]) -> None:
        """Ids of pieces (without their leading blank) where they follow a cut."""
        encoded = self.tokenizer.encode_each([f"{ANCHOR} {piece.replace(KEPT, ' ')}" for piece in pieces])
        self._inside.update((piece, ids[self._anchor_tokens :]) for piece, ids in zip(pieces, encoded, strict=True))
