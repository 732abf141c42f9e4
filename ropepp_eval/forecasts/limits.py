"""How much the engine takes at once on a kind of device: the one place, for the engine itself and for forecasts of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes

SMALLEST_CHUNK = 64
"""Chunks are not made smaller than this; who has no room for 64 tokens has no room."""
WHOLE_BYTES = 256 << 20
"""Activations of an input that a small model reads in one piece."""
WHOLE_FROM_TOKENS = 16384
GPU_SHARE = 0.5
"""Of what is free on a GPU that the cache of generation may take."""


@dataclass(frozen=True, kw_only=True)
class DeviceLimits:
    """What a kind of device takes at once."""

    chunk_tokens: int
    """Tokens of a sequence that enter the model."""
    mask_places: int
    """Most entries of the mask [chunk, context] that a chunk needs; chunks of very long inputs are made smaller for it."""
    head_elements: int
    """Logits."""
    batch_tokens: int
    """Tokens of a batch of short texts, padding included."""
    generation_rows: int
    """Rows that are written side by side."""
    cache_tokens: int | None
    """Tokens of all of them; None: as the memory that is free allows."""


LIMITS = {
    "cpu": DeviceLimits(
        chunk_tokens=4096,
        mask_places=1 << 27,
        head_elements=1 << 23,  # 32 MiB: larger blocks are given back to the system each time, and cleared anew by it
        batch_tokens=8192,
        generation_rows=16,
        cache_tokens=32768,
    ),
    "cuda": DeviceLimits(
        chunk_tokens=65536,
        mask_places=1 << 31,
        head_elements=1 << 27,
        batch_tokens=65536,
        generation_rows=64,
        cache_tokens=None,
    ),
}
"""By kind of device; others are taken as a CPU."""


def limits_of(device: str) -> DeviceLimits:
    """Those of `cpu`, `cuda`, `cuda:1`, ..."""
    return LIMITS.get(device.partition(":")[0], LIMITS["cpu"])


def default_chunk(shapes: ModelShapes, dtype: str, device: str, attention: str) -> int:
    """Tokens that enter at once where the user says nothing.

    Small models read 16k tokens and more in one piece where that takes `WHOLE_BYTES` at most: one causal piece needs no mask and
    skips the upper half of the scores. Eager attention
    keeps its scores, so it never does; windows need a mask [chunk, chunk], which bounds the chunk.
    """
    usual = limits_of(device).chunk_tokens
    if shapes.windowed:
        return min(usual, math.isqrt(limits_of(device).mask_places))
    whole = WHOLE_BYTES // max(1, DTYPE_BYTES[dtype] * shapes.widest_token)
    return max(usual, whole) if attention != "eager" and whole >= WHOLE_FROM_TOKENS else usual


def chunk_of(tokens: int, context: int, chunk_tokens: int, device: str, windowed: bool = False) -> int:
    """Tokens of `tokens` that enter at once to end at `context`: `chunk_tokens`, or fewer where the mask would be too large.

    `windowed`: some layers need a mask even in one piece.
    """
    if tokens == context <= chunk_tokens and not windowed:
        return tokens  # one piece without a cache needs no mask
    return min(chunk_tokens, max(SMALLEST_CHUNK, limits_of(device).mask_places // context))


def cache_tokens(shapes: ModelShapes, dtype: str, device: str, asked: int | None, free_bytes: int | None) -> int:
    """Tokens that the rows of generation may hold together.

    Args:
        asked: what the user said.
        free_bytes: of the device, weights aside; None: not known.
    """
    if asked:
        return asked
    fixed = limits_of(device).cache_tokens
    if fixed is None and free_bytes is not None:
        return max(1, int(GPU_SHARE * free_bytes / max(1, shapes.kv_bytes(1, DTYPE_BYTES[dtype]))))
    return fixed or LIMITS["cpu"].cache_tokens or 1


def rows_at_once(asked: Mapping[str, Any], device: str, whole: bool) -> int:
    """Most rows that are written side by side.

    Args:
        asked: settings of the adapter (`batch_size`, `deterministic`).
        whole: prompts are read whole, one by one.
    """
    return 1 if whole or asked.get("deterministic") else int(asked.get("batch_size") or limits_of(device).generation_rows)
