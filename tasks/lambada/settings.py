"""What a protocol may change in LAMBADA."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LambadaSettings:
    """One protocol of `protocols.yaml`."""

    stride_tokens: int
    """Windows of `lambada_sliding` end every so many tokens."""
    arithmetic: str
    """Name of the sliding-window arithmetic, a key of `window_scores.ARITHMETIC`."""
