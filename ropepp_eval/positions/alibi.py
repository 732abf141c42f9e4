"""ALiBi (arXiv 2108.12409): scores fall linearly with the distance, by a slope of each head's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ropepp_eval.positions.base import Heads, Position
from ropepp_eval.positions.registry import position


def alibi_slopes(heads: int) -> list[float]:
    """The slopes of a new model: 2^(-8i/n) for n a power of two; else those of the next lower power of two, then every
    other one of the next higher."""
    lower = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / lower) for i in range(1, lower + 1)]
    return slopes + [2 ** (-8 * i / (2 * lower)) for i in range(1, 2 * (heads - lower), 2)]


@position("alibi")
@dataclass(frozen=True, kw_only=True)
class Alibi(Position):
    """No rotation; the scaled score of a key `distance` tokens back loses slope * distance.

    The checkpoint's own slopes are used: stored in bfloat16, some differ from the formula's.
    Distances are counted in tokens between the two, so gaps that given `position_ids` leave are not seen.
    """

    told_by_shapes: ClassVar[bool] = True
    linear_bias: ClassVar[bool] = True

    def stored(self, heads: Heads, head_dim: int) -> dict[str, Tensor]:
        return {"alibi_slopes": torch.tensor(alibi_slopes(heads.attention), dtype=torch.float32)}

    def bias(self, distance: Tensor, stored: Mapping[str, Tensor], heads: Heads) -> Tensor:
        slopes = stored["alibi_slopes"]
        return -slopes.view(-1, *(1,) * distance.dim()) * distance

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        return "config.json: use_alibi is true" if config.get("use_alibi") else None
