"""The demo models' tokenizer."""

from __future__ import annotations

import pytest

from ropepp_eval.demo.tokenizer import VOCABULARY, train_tokenizer


@pytest.mark.slow
def test_the_tokenizer_splits_digits_and_loses_nothing() -> None:
    trained = train_tokenizer()
    assert len(trained) == VOCABULARY
    for text in ("One of the magic numbers is 4071234.", "naïve 漢字 \n\t x", "  two  blanks"):
        ids = trained.encode(text, add_special_tokens=False)
        assert trained.decode(ids, clean_up_tokenization_spaces=False) == text
    digits = [trained.decode([i]) for i in trained.encode("4071234", add_special_tokens=False)]
    assert digits == list("4071234")
