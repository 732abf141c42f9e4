"""A small request for rows, which tests change where they need to."""

from __future__ import annotations

from typing import Any

from ropepp_eval.data import open_data
from ropepp_eval.rows.row import RowRequest
from tests.tokens.tokenizers_to_try import like_gpt2


def small_request(task: str, **changes: Any) -> RowRequest:
    """Four rows of generated text at 512 tokens."""
    usual = {"length_tokens": 512, "samples": 4, "seed": 1, "protocol": "reference", "data": open_data(None)}
    return RowRequest(task=task, **{"tokenizer": like_gpt2(), **usual, **changes})
