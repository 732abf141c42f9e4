"""Encoding by pieces: words are tokenized once, and a text's ids are its words' ids joined.

For prompts of thousands of tokens made of the same words again and again, as most long-context benchmarks' are. The cuts and
why they are exact: `ropepp_eval.tokens.counting`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ropepp_eval.tokens.counting import ANCHOR, KEPT, pieces_are_independent, pieces_of
from ropepp_eval.tokens.tokenizer import Tokenizer

_MOST_PIECES = 200_000


class PieceEncoder:
    """Token ids of texts, without special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.independent = pieces_are_independent(tokenizer)
        """False: every text is encoded whole."""
        self._inside: dict[str, list[int]] = {}
        self._anchor_tokens = tokenizer.count(ANCHOR)

    def encode_each(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, the same as `tokenizer.encode(text)`."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> list[int]:
        if not self.independent or KEPT in text:
            return self.tokenizer.encode(text)
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
        texts = [f"{ANCHOR} {piece.replace(KEPT, ' ')}" for piece in pieces]
        encoded = self.tokenizer.fast.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        self._inside.update((piece, entry.ids[self._anchor_tokens :]) for piece, entry in zip(pieces, encoded, strict=True))
