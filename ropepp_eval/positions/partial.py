"""Partial rotary embedding as in Pythia: the first dimensions of each head turn, the others carry no position.

The paper speaks of the last quarter of the dimensions; its code (rope_pp at 91ba335) turns the first quarter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ropepp_eval.errors import UserError
from ropepp_eval.positions.base import Heads, Rotary, published_base
from ropepp_eval.positions.registry import position
from ropepp_eval.positions.rotation import inverse_frequencies, rotate
from ropepp_eval.positions.scaling import Scaling


@position("partial")
@dataclass(frozen=True, kw_only=True)
class PartialRotary(Rotary):
    """The first `partial_rotary_factor` of each head's dimensions turn, half-split among themselves."""

    partial_rotary_factor: float = 0.25
    """Fraction of the dimensions that turn; 1 is plain RoPE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.partial_rotary_factor <= 1:
            raise UserError(f"partial_rotary_factor {self.partial_rotary_factor!r} is not in (0, 1]; Pythia has 0.25")

    def turning(self, head_dim: int) -> int:
        """How many dimensions of a head turn."""
        return int(head_dim * self.partial_rotary_factor)

    def check(self, heads: Heads, head_dim: int) -> None:
        turning = self.turning(head_dim)
        if turning < 2 or turning % 2:
            raise UserError(
                f"partial_rotary_factor {self.partial_rotary_factor:g} of head_dim {head_dim} turns {turning} dimensions; "
                "they turn in pairs, so choose a factor that gives an even number"
            )

    def frequencies(self, head_dim: int) -> Tensor:
        plain = inverse_frequencies(self.base, self.turning(head_dim))
        return plain if self.scaling is None else self.scaling.stretch(plain)

    def encode(
        self, query: Tensor, key: Tensor, tables: tuple[Tensor, ...], stored: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        turning = tables[0].shape[-1]
        if turning == query.shape[-1]:
            return super().encode(query, key, tables, stored)
        turned = (torch.cat((rotate(x[..., :turning], *tables), x[..., turning:]), dim=-1) for x in (query, key))
        return next(turned), next(turned)

    def to_hf(self) -> dict[str, dict[str, Any]]:
        fields = super().to_hf()
        factor = fields["position_settings"].pop("partial_rotary_factor")  # transformers keeps it with the base
        return {**fields, "rope_parameters": {**fields["rope_parameters"], "partial_rotary_factor": factor}}

    @classmethod
    def from_hf(cls, rope_parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        factor = rope_parameters.get("partial_rotary_factor")
        return super().from_hf(
            rope_parameters, settings if factor is None else {**settings, "partial_rotary_factor": factor}
        )

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        factor = _published_factor(config)
        return None if factor is None or factor == 1 else f"config.json: partial_rotary_factor is {factor}"

    @classmethod
    def from_published(cls, config: Mapping[str, Any], scaling: Scaling | None) -> Self:
        factor = _published_factor(config)
        given = {} if factor is None else {"partial_rotary_factor": float(factor)}
        return cls(base=published_base(config), scaling=scaling, **given)


def _published_factor(config: Mapping[str, Any]) -> Any:
    factor = (config.get("rope_parameters") or {}).get("partial_rotary_factor")
    return config.get("partial_rotary_factor") if factor is None else factor
