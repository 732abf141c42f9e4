"""`wikitext`: word and byte perplexity of pages, as lm-eval 0.4.13's `wikitext` on a model of that length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.wikitext.corpus import load_wikitext
from ropepp_eval.tasks.wikitext.detokenizer import count_words, detokenize
from ropepp_eval.tasks.wikitext.settings import WikitextSettings


def page_rows(request: RowRequest) -> list[Row]:
    """Row i is page i of the split, to be read through lm-eval's rolling windows of the length."""
    settings = protocol_settings("wikitext", request.protocol, WikitextSettings)
    corpus = load_wikitext(request.data, settings.page_split)
    return [_row(request, number, page, corpus.stand_in) for number, page in enumerate(corpus.pages[: request.samples])]


def _row(request: RowRequest, number: int, page: str, stand_in: bool) -> Row:
    text = detokenize(page)
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=text,
        prompt_tokens=request.tokenizer.count(text),
        window_tokens=request.length_tokens,
        stand_in=stand_in,
        details={"page": number, "words": count_words(page), "bytes": len(page.encode("utf-8"))},
    )


def page_scores(row: Row, responses: Sequence[float]) -> dict[str, Any]:
    """(log-likelihood, words or bytes) pairs; words and bytes are those of the page before detokenizing, as in lm-eval."""
    log_likelihood = float(responses[0])
    per_byte = (log_likelihood, row.details["bytes"])
    return {
        "word_perplexity": (log_likelihood, row.details["words"]),
        "byte_perplexity": per_byte,
        "bits_per_byte": per_byte,
    }
