"""`lambada`: the last word of a passage, exactly as lm-eval 0.4.13's `lambada_openai` asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.lambada.passages import load_passages


def last_word_rows(request: RowRequest) -> list[Row]:
    """Row i is passage i of the file; the length only has to hold it.

    Raises:
        UserError: a passage is longer than the length.
    """
    corpus = load_passages(request.data)
    passages = corpus.passages[: request.samples]
    longest = max((request.entering_tokens(passage.text) for passage in passages), default=0)
    if longest > request.length_tokens:
        raise UserError(
            f"task {request.task}: its longest passage has {longest} tokens, over the length of "
            f"{format_length(request.length_tokens)}; use {longest} or more"
        )
    prompt_tokens = request.tokenizer.count_each([passage.context for passage in passages])
    return [
        Row(
            task=request.task,
            length_tokens=request.length_tokens,
            row=number,
            prompt=passage.context,
            prompt_tokens=tokens,
            choices=(passage.last_word,),
            gold=0,
            stand_in=corpus.stand_in,
            details={"passage": number},
        )
        for number, (passage, tokens) in enumerate(zip(passages, prompt_tokens, strict=True))
    ]


def last_word_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: greedy decoding gives the last word; `perplexity`: its log-likelihood (aggregated as exp of minus the mean)."""
    log_likelihood, is_greedy = responses[0]
    return {"acc": float(is_greedy), "perplexity": float(log_likelihood)}
