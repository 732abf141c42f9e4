"""Sliding-window perplexity as a task: one row that holds a whole corpus, and its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.synthetic.rows import Row, RowRequest
from ropepp_eval.synthetic.window_scores import ARITHMETIC, Pair, ScoredWindow

SEPARATOR = "\n\n"
"""What joins the texts of a corpus into one stream, in the authors' script as in Hugging Face's perplexity page."""


def sliding_rows(
    request: RowRequest, texts: Sequence[str], *, stride_tokens: int, arithmetic: str, stand_in: bool
) -> list[Row]:
    """The one row of a sliding-window task: all `texts` joined, windows of the request's length ending every stride.

    Raises:
        UserError: the length is shorter than the stride, or the corpus has no second window.
    """
    if request.length_tokens < stride_tokens:
        raise UserError(
            f"task {request.task}: length {format_length(request.length_tokens)} is under the stride of {stride_tokens} "
            f"tokens, so tokens would be skipped; use {format_length(stride_tokens)} or more"
        )
    text = SEPARATOR.join(texts)
    tokens = request.tokenizer.count(text)
    if tokens <= stride_tokens:
        raise UserError(
            f"task {request.task}: the corpus holds {tokens} tokens, and two windows need more than {stride_tokens}; "
            f"{stride_tokens + 1 - tokens} are missing; use a larger corpus"
        )
    row = Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=0,
        prompt=text,
        prompt_tokens=tokens,
        window_tokens=request.length_tokens,
        stride_tokens=stride_tokens,
        stand_in=stand_in,
        details={"arithmetic": arithmetic, "texts": len(texts)},
    )
    return [row]


def sliding_scores(row: Row, responses: Sequence[Sequence[ScoredWindow]]) -> dict[str, Any]:
    """`token_perplexity` of the row as a (sum of losses, divisor) pair, by the arithmetic its protocol names."""
    pair: Pair = ARITHMETIC[row.details["arithmetic"]](responses[0], row.stride_tokens)
    return {"token_perplexity": pair}
