"""FoPE, Fourier position embedding (arXiv 2412.17739), as the RoPE++ baselines train it (rope_pp at 91ba335).

F angles a position, K key/value heads, D head size, B batch, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ropepp_eval.errors import UserError
from ropepp_eval.positions.base import Heads, Rotary, published_base
from ropepp_eval.positions.registry import position
from ropepp_eval.positions.rotation import angles, inverse_frequencies, rotate
from ropepp_eval.positions.scaling import TRAINED_LENGTH_TOKENS, Scaling, scaling_label

_MOST_ANGLES = 1 << 16
_SIN, _COS = "pos_emb.sin_coef", "pos_emb.cos_coef"
# Switches of the public code that change the mathematics, and the only value of each that is implemented.
_IMPLEMENTED: dict[str, Any] = {
    "fourier_separate_basis": True, "fourier_separate_head": True, "fourier_norm": False, "fourier_ignore_zero": True,
    "len_extra": False, "rope_clamp_floor_freq": True, "rope_clamp_floor_to_zero": True, "rope_clamp_to_linear": False,
    "rope_clamp_upper_freq": False, "rope_floor_freq_ratio": 1.0, "rope_include_neg_freq": False,
    "rope_init_distribution": "exponential", "rope_no_pos": False, "rope_no_repetition": False, "rope_no_rotary": False,
    "rope_zero_freq_ratio": -1.0,
}  # fmt: skip


@position("fope")
@dataclass(frozen=True, kw_only=True)
class Fope(Rotary):
    """Each key/value head mixes the sines and cosines of F angles into D / 4 values by stored coefficients.

    It is no rotation: the other D / 4 entries have sine and cosine 1, and scores depend on absolute positions, which count
    from 0 at a row's first real token. Query heads use the coefficients of their key/value head.
    """

    told_by_shapes: ClassVar[bool] = True

    fourier_dim: int = 128
    """Twice the number of angles before the slow ones are left out."""
    trained_length: int = TRAINED_LENGTH_TOKENS
    """Tokens; angles that do not turn once within it are left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (2 <= self.fourier_dim <= _MOST_ANGLES and self.fourier_dim % 2 == 0 and self.trained_length >= 1):
            raise UserError(
                f"fope: fourier_dim {self.fourier_dim} with trained_length {self.trained_length} can't be; fourier_dim is an even number "
                f"from 2 to {_MOST_ANGLES}, such as 128, and the length is in tokens"
            )

    def check(self, heads: Heads, head_dim: int) -> None:
        if head_dim % 4:
            raise UserError(f"head_dim {head_dim} is no multiple of 4; fope mixes into a quarter of it")

    def frequencies(self, head_dim: int) -> Tensor:
        """float32 [F]; the head size does not enter."""
        every = inverse_frequencies(self.base, self.fourier_dim)
        return every[every >= 2 * math.pi / self.trained_length]

    def tables(self, positions: Tensor, frequencies: Tensor) -> tuple[Tensor, ...]:
        """sin and cos of the angles, float32 [B, T, F], before mixing."""
        turned = angles(positions, frequencies)
        return turned.sin(), turned.cos()

    def stored(self, heads: Heads, head_dim: int) -> dict[str, Tensor]:
        """Coefficients [K, F, D / 4]; a new model starts with the identity plus Xavier noise of gain 0.3."""
        count = int((inverse_frequencies(self.base, self.fourier_dim) >= 2 * math.pi / self.trained_length).sum())
        deviation = 0.3 * math.sqrt(2 / (count + head_dim // 4))
        shape = (heads.key_value, count, head_dim // 4)
        # float32 whatever the default dtype, which loading in bfloat16 sets
        start = torch.eye(*shape[1:], dtype=torch.float32)
        return {name: start + deviation * torch.randn(shape, dtype=torch.float32) for name in (_SIN, _COS)}

    def encode(
        self, query: Tensor, key: Tensor, tables: tuple[Tensor, ...], stored: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(device_type=query.device.type, enabled=False):
            sin, cos = _mix(tables[0], stored[_SIN]), _mix(tables[1], stored[_COS])
        batch, key_value_heads, tokens, head_dim = key.shape
        grouped = query.view(batch, key_value_heads, -1, tokens, head_dim)
        return rotate(grouped, cos[:, :, None], sin[:, :, None]).flatten(1, 2), rotate(key, cos, sin)

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        return "config.json: fourier is true" if config.get("fourier") else None

    @classmethod
    def from_published(cls, config: Mapping[str, Any], scaling: Scaling | None) -> Self:
        for field, implemented in _IMPLEMENTED.items():
            if config.get(field, implemented) != implemented:
                raise UserError(f"config.json: {field} is {config[field]!r}; for fope only {implemented!r} is implemented")
        return cls(
            base=published_base(config),
            fourier_dim=int(config.get("fourier_dim") or 128),
            trained_length=int(config.get("max_position_embeddings") or TRAINED_LENGTH_TOKENS),
        ).stretched(scaling)

    def stretched(self, scaling: Scaling | None) -> Self:
        if scaling is not None:
            raise UserError(f"position 'fope' has no stretched form; leave out +{scaling_label(scaling)}")
        return self


def _mix(table: Tensor, coefficients: Tensor) -> Tensor:
    """[B, T, F] and [K, F, D / 4] as [B, K, T, D]: mixed, filled up with ones to D / 2, and twice."""
    mixed = table[:, None] @ coefficients
    half = torch.cat((mixed, torch.ones_like(mixed)), dim=-1)
    return torch.cat((half, half), dim=-1)
