"""Llama 3's tokenizer, which all published checkpoints have: its ids, and counting by pieces on real text."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.demo.llama3_tokenizer import ranks_file, read_ranks, special_tokens
from ropepp_eval.tokens.counting import PieceCounter
from ropepp_eval.tokens.encoding import PieceEncoder
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tokens.tokenizers_to_try import LLAMA_3

BOS, EOS = 128_000, 128_001
CHARACTERS = 60_000
"""Of each file: some 15,000 tokens."""
AWKWARD = "It isn't 3,14159.\n\n \t“So”—he said…  \r\nNo\u00a0more\u2003of it! é´\u0301 ☃ 𝄞 日本語 x=[1,2]\x01   <|eot_id|> "


def texts_of(folder: Path) -> list[str]:
    """The middle of each file, cut anywhere."""
    whole = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()) if path.suffix in (".txt", ".raw")][:6]
    return [text[len(text) // 3 :][:CHARACTERS] for text in whole]


def test_it_has_the_entries_and_the_bos_that_the_checkpoints_were_trained_with(llama3: Tokenizer) -> None:
    assert llama3.backend.get_vocab_size() == 128_256
    assert (llama3.rules.bos, llama3.rules.eos, llama3.rules.prefix) == (BOS, EOS, BOS)
    assert llama3.prompt_ids("The sky") == [BOS, *llama3.encode("The sky")]
    assert llama3.prompt_ids("<|begin_of_text|>The sky") == [BOS, *llama3.encode("The sky")]
    assert llama3.most_added_tokens == 1
    assert llama3.decode(llama3.encode("The sky , isn't it ?")) == "The sky , isn't it ?"


def test_awkward_text_has_tiktokens_ids(llama3: Tokenizer) -> None:
    assert llama3.encode(AWKWARD) == tiktoken_ids(AWKWARD)


@pytest.mark.parametrize("corpus", ["gutenberg", "essays", "wikitext-2-raw"])
def test_pieces_of_real_text_are_tiktokens_ids(corpus: str, llama3: Tokenizer, data_dir: Path) -> None:
    texts = texts_of(data_dir / corpus)
    expected = [tiktoken_ids(text) for text in texts]
    counter = PieceCounter(llama3)
    assert counter.independent
    assert [counter.count(text) for text in texts] == list(map(len, expected))
    assert PieceEncoder(llama3).encode_each(texts) == expected
    assert [llama3.encode(text) for text in texts[:2]] == expected[:2]


@functools.cache
def encoding() -> Any:
    """The same tokenizer in the library for which it was published."""
    tiktoken = pytest.importorskip("tiktoken", reason="the package tiktoken is not installed, which gives the expected ids")
    ranks = read_ranks(ranks_file())
    special = {name: len(ranks) + number for number, name in enumerate(special_tokens())}
    return tiktoken.Encoding("Llama 3", pat_str=LLAMA_3, mergeable_ranks=ranks, special_tokens=special)


def tiktoken_ids(text: str) -> list[int]:
    ids: list[int] = encoding().encode(text, allowed_special="all")
    return ids
