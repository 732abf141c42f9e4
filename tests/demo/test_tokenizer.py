"""The tiny random checkpoints that ship with the package, and their tokenizer."""

from __future__ import annotations

import json

import pytest

from ropepp_eval import inspect_checkpoint
from ropepp_eval.demo.random_checkpoints import NOTE, POSITIONS
from ropepp_eval.demo.tokenizer import VOCABULARY, train_tokenizer
from ropepp_eval.paths import resource_dir
from ropepp_eval.tokenizer import load_tokenizer

FOLDER = resource_dir("models") / "random"


@pytest.mark.parametrize("position", POSITIONS)
def test_each_is_what_its_folder_says_and_admits_that_it_is_random(position: str) -> None:
    info = inspect_checkpoint(FOLDER / position)
    assert info.position == position
    assert info.max_position_embeddings == 65536
    assert info.vocab_size == VOCABULARY == len(load_tokenizer(str(FOLDER / position)).fast)
    assert json.loads((FOLDER / position / "config.json").read_text())["note"] == NOTE


def test_eh_keeps_half_of_ropes_cache_and_ec_all_of_it() -> None:
    rope, half, equal = (inspect_checkpoint(FOLDER / position).kv_bytes_per_token for position in POSITIONS)
    assert (2 * half, equal) == (rope, rope)


def test_all_three_read_text_alike() -> None:
    assert len({load_tokenizer(str(FOLDER / position)).sha256 for position in POSITIONS}) == 1


@pytest.mark.slow
def test_the_tokenizer_splits_digits_and_loses_nothing() -> None:
    trained = train_tokenizer()
    assert len(trained) == VOCABULARY
    for text in ("One of the magic numbers is 4071234.", "naïve 漢字 \n\t x", "  two  blanks"):
        ids = trained.encode(text, add_special_tokens=False)
        assert trained.decode(ids, clean_up_tokenization_spaces=False) == text
    digits = [trained.decode([i]) for i in trained.encode("4071234", add_special_tokens=False)]
    assert digits == list("4071234")
