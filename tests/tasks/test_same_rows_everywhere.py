"""Rows are the same in every process and on every machine: their hashes for a tokenizer made here are written down."""

from __future__ import annotations

from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.row import RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer

HASHES = {
    ("lambada_filled", 1536): ["bbf2bc8bcf8a", "8f9c583e9d91", "6fa1d61187a2"],
    ("lambada_filled", 4096): ["7a52756b52f5", "a279910a4759", "7f7fa773d108"],
    ("openbookqa_book", 1536): ["7c0c5aa60df0", "4f76a1e19727", "415843a5383e"],
    ("openbookqa_book", 4096): ["477064e15a30", "c986172b4359", "85b550b965ea"],
    ("openbookqa_nofact", 1536): ["1d741577fdd2", "78f491719cea", "96263342ba92"],
    ("openbookqa_nofact", 4096): ["5e2523d2d0af", "c42eb374e816", "0804d1e44ebb"],
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
