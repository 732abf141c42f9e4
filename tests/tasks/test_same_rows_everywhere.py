"""Rows are the same in every process and on every machine: their hashes for a tokenizer made here are written down."""

from __future__ import annotations

from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.synthetic.frozen import frozen_rows
from ropepp_eval.synthetic.rows import RowRequest
from ropepp_eval.synthetic.tasklist import task_entries
from ropepp_eval.tokenizer import Tokenizer

HASHES = {
    ("lambada_filled", 1536): ["777aad93ddf8", "49688eef0adc", "c40de823901e"],
    ("lambada_filled", 4096): ["723d4c338227", "1cca443f6daa", "c6e3cfd885c1"],
    ("openbookqa_book", 1536): ["edb3cb878b22", "e4a40ae26ad2", "4d408ec71152"],
    ("openbookqa_book", 4096): ["fc3990ef2c84", "c19282e58485", "3eef3c71ce2c"],
    ("openbookqa_nofact", 1536): ["8cc2d1304d2b", "851e13bfc414", "8d4e00cff4fa"],
    ("openbookqa_nofact", 4096): ["96f067a9b1a5", "1a3d996ac11f", "ac58d2c72dd4"],
}


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    """A tokenizer with one token a byte."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE(vocab={symbol: number for number, symbol in enumerate(alphabet)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    wrapped: Any = PreTrainedTokenizerFast(tokenizer_object=fast)
    return Tokenizer(wrapped, "bytes")


@pytest.mark.parametrize("length_tokens", [4096, 1536])  # the longer first: what was built before must not matter
@pytest.mark.parametrize("task", ["lambada_filled", "openbookqa_book", "openbookqa_nofact"])
def test_rows_have_the_hashes_written_down_here(task: str, length_tokens: int, byte_tokenizer: Tokenizer) -> None:
    request = RowRequest(
        task=task,
        length_tokens=length_tokens,
        samples=3,
        seed=42,
        protocol="reference",
        tokenizer=byte_tokenizer,
        data=open_data(None),
    )
    rows = frozen_rows(request, task_entries()[task].build_rows())
    assert [row.sha256[:12] for row in rows] == HASHES[task, length_tokens]
