"""Gaussian noise as a pure function of (seed, layer, position, head, dimension): no random state, no order of calls.

A token gets the same noise with a cache and without, alone and in a padded batch, on every device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MIX_1, _MIX_2 = -4658895280553007687, -7723592293110705685  # splitmix64's multipliers, as signed 64-bit integers
_STEP = -7046029254386353131


def _scrambled(x: Tensor) -> Tensor:
    """splitmix64's finalizer on int64; products wrap around, and masks make the shifts logical."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def _uniform(key: Tensor) -> Tensor:
    """float32 in (0, 1) from the upper 24 bits."""
    return (((key >> 40) & 0xFFFFFF).to(torch.float32) + 0.5) / 2**24


def gaussian_noise(positions: Tensor, heads: int, head_dim: int, seed: int, layer: int) -> Tensor:
    """Standard normal float32 [B, heads, T, head_dim] for integer positions [B, T]."""
    device = positions.device
    start = _scrambled(torch.tensor([seed * 1_000_003 + layer], dtype=torch.int64, device=device))
    place = torch.arange(heads * head_dim, device=device).view(heads, 1, head_dim)
    key = _scrambled(_scrambled(start + positions[:, None, :, None] * _STEP) + (2 * place + 1) * _MIX_1)
    radius = torch.sqrt(-2 * torch.log(_uniform(key)))
    return radius * torch.cos(2 * math.pi * _uniform(_scrambled(key + _STEP)))
