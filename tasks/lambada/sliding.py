"""`lambada_sliding`: perplexity of all passages as one stream, read through windows of the length."""

from __future__ import annotations

from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.sliding_windows import sliding_rows
from ropepp_eval.tasks.lambada.passages import load_passages
from ropepp_eval.tasks.lambada.settings import LambadaSettings


def lambada_sliding_rows(request: RowRequest) -> list[Row]:
    """One row: every passage, joined by two newlines (paper, appendix; OpenMOSS/rope_pp 91ba335, `test_ppl.py`)."""
    settings = protocol_settings("lambada", request.protocol, LambadaSettings)
    corpus = load_passages(request.data)
    return sliding_rows(
        request,
        corpus.texts,
        stride_tokens=settings.stride_tokens,
        arithmetic=settings.arithmetic,
        stand_in=corpus.stand_in,
    )
