"""`wikitext_sliding`: perplexity of a split as one stream, read through windows of the length."""

from __future__ import annotations

from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.sliding_windows import sliding_rows
from ropepp_eval.tasks.wikitext.corpus import load_wikitext
from ropepp_eval.tasks.wikitext.settings import WikitextSettings


def wikitext_sliding_rows(request: RowRequest) -> list[Row]:
    """One row: the hub's rows of the split joined by two newlines (OpenMOSS/rope_pp 91ba335, `test_ppl.py`)."""
    settings = protocol_settings("wikitext", request.protocol, WikitextSettings)
    corpus = load_wikitext(request.data, settings.stream_split)
    return sliding_rows(
        request,
        corpus.hub_rows,
        stride_tokens=settings.stride_tokens,
        arithmetic=settings.arithmetic,
        stand_in=corpus.stand_in,
    )
