"""Rotary mathematics as pure functions of tensors. B batch, H heads, T tokens, D head size, N = D / 2 pairs.

Half-split layout: dimension n is paired with dimension n + N (rope_pp at 91ba335; the same as transformers' Llama).
"""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_frequencies(base: float, dimensions: int) -> Tensor:
    """Radians a position, float32 [dimensions / 2]: base^(-2n / dimensions).

    Always computed on the CPU in float32, whatever the default device: models were trained with these very numbers, and
    another device's power function moves the angle at position 65,535 by more than a thousandth.
    """
    exponents = torch.arange(0, dimensions, 2, dtype=torch.float32, device="cpu") / dimensions
    return 1.0 / (base**exponents)


def angles(positions: Tensor, frequencies: Tensor) -> Tensor:
    """float32 [..., N] of integer positions [...] and float32 frequencies [N]."""
    return positions.to(torch.float32)[..., None] * frequencies


def rotation_tables(positions: Tensor, frequencies: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [B, T, 2N] with both halves equal, of positions [B, T]; multiplied with `scale` (YaRN)."""
    half = angles(positions, frequencies)
    both = torch.cat((half, half), dim=-1)
    if scale == 1.0:
        return both.cos(), both.sin()
    return both.cos() * scale, both.sin() * scale


def rotate_half(x: Tensor) -> Tensor:
    """(x1, x2) as (-x2, x1): a quarter turn forward."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, H, T, D] turned by tables [B, T, D] (or [B, H, T, D]); float32 inside, x's dtype out."""
    if cos.dim() == 3:
        cos, sin = cos[:, None], sin[:, None]
    turned = x * cos
    turned += rotate_half(x) * sin
    return turned.to(x.dtype)


def imaginary_query(rotated: Tensor) -> Tensor:
    """The rotated query [..., D] a quarter turn back: (q1, q2) as (q2, -q1).

    Rotations commute, so this is the query rotated by (sin, -cos): the imaginary head needs no trigonometry of its own.
    """
    first, second = rotated.chunk(2, dim=-1)
    return torch.cat((second, -first), dim=-1)


def interleave_heads(real: Tensor, imaginary: Tensor) -> Tensor:
    """[B, H, T, D] twice as [B, 2H, T, D] in the order real 0, imaginary 0, real 1, imaginary 1, ..."""
    return torch.stack((real, imaginary), dim=2).flatten(1, 2)
