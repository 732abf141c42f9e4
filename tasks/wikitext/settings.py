"""What a protocol may change in WikiText."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WikitextSettings:
    """One protocol of `protocols.yaml`."""

    page_split: str
    """Split of `wikitext`: `test` or `validation`."""
    stream_split: str
    """Split of the two tasks that read the corpus as one stream."""
    stride_tokens: int
    """Windows of `wikitext_sliding` end every so many tokens."""
    arithmetic: str
    """Name of the sliding-window arithmetic, a key of `window_scores.ARITHMETIC`."""
