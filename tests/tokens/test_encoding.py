"""Encoding by pieces gives the tokenizer's own ids, whatever the text and the kind of tokenizer."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings

from ropepp_eval.text.filler import filler_words
from ropepp_eval.tokens import encoding
from ropepp_eval.tokens.encoding import PieceEncoder
from tests.tokens.test_counting import TEXTS
from tests.tokens.tokenizers_to_try import KINDS


@functools.cache
def encoder(kind: str) -> PieceEncoder:
    return PieceEncoder(KINDS[kind]())


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
@settings(deadline=None, max_examples=150)
def test_pieces_give_the_real_ids(kind: str, text: str) -> None:
    assert encoder(kind).encode_each([text, text]) == [encoder(kind).tokenizer.encode(text)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_store_of_pieces_is_emptied_and_ids_stay_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MOST_PIECES", 20)
    texts = [" ".join(filler_words(60, f"text {number}")[0]) for number in range(4)]
    fresh = PieceEncoder(KINDS[kind]())
    assert fresh.encode_each(texts * 2) == [fresh.tokenizer.encode(text) for text in texts] * 2
