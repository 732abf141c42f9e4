"""No position embedding at all: order is known only through the causal mask (arXiv 2305.19466)."""

from __future__ import annotations

from dataclasses import dataclass

from ropepp_eval.positions.base import Position
from ropepp_eval.positions.registry import position


@position("nope")
@dataclass(frozen=True, kw_only=True)
class Nope(Position):
    """Queries and keys enter attention as projected. Its weights look like RoPE's, so only the user or a card can say it."""
