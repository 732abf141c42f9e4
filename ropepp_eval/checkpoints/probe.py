"""What a class keeps in its cache, found by asking it: a few tokens through a model without weights, and a look at what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ropepp_eval.checkpoints.cache_layers import CacheKinds, CacheLayers, FullLayers, SlidingLayers, StateLayers
from ropepp_eval.errors import UserError

_PROBE_BYTES = 2
"""Of an entry: the probe runs in bfloat16, for which every class has kernels that need no numbers."""


_found: dict[tuple[type, str], CacheKinds] = {}
"""By class and config, on which alone it hangs: loading asks once for the files and once for the model."""


def cache_kinds(model: Any) -> CacheKinds:
    """What each layer of a model on the meta device keeps. The model may be bfloat16 and of plain rope afterwards: it is for nothing else.

    Raises:
        UserError: its class keeps no cache that transformers' `DynamicCache` describes, so nothing is known of what it has read.
    """
    key = type(model), model.config.to_json_string(use_diff=False)
    if key not in _found:
        _found[key] = _asked(model)
    return _found[key]


def _asked(model: Any) -> CacheKinds:
    model = model.to(torch.bfloat16).eval()
    for module in model.modules():
        if isinstance(getattr(module, "rope_type", None), str):
            module.rope_type = "default"  # `dynamic` and `longrope` look at the numbers of positions, and there are none
    try:
        before, after = (_layers(model, tokens) for tokens in (4, 5))
    except UserError:
        raise
    except Exception as error:  # a class may fail in any way where there are no numbers
        raise _unknown(model, " ".join(f"{type(error).__name__}: {error}".split())[:160]) from error
    found: Counter[Any] = Counter()
    for small, large in zip(before, after, strict=True):
        found.update(_kinds_of(large, _bytes(small), _bytes(large)))
    return tuple(_kind(key, layers) for key, layers in found.items())


def _layers(model: Any, tokens: int) -> list[Any]:
    from transformers import DynamicCache

    with torch.no_grad():
        out = model(input_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"), use_cache=True)
    named = (getattr(out, name, None) for name in ("cache", "past_key_values", "cache_params"))
    cache = next((found for found in named if found is not None), None)
    if not isinstance(cache, DynamicCache):
        kept = "nothing" if cache is None else f"a {type(cache).__name__}"
        raise _unknown(model, f"it keeps {kept} of what it has read")
    return list(cache.layers)


def _unknown(model: Any, why: str) -> UserError:
    return UserError(
        f"{type(model).__name__} can't be run: {why}; only decoders that keep transformers' DynamicCache are, such as Llama, "
        "Qwen, Mistral, Gemma, GPT-NeoX or Jamba"
    )


def _kinds_of(layer: Any, small: int, large: int) -> Iterator[tuple[str, int, int]]:
    """(kind, entries, window) of what one layer keeps: what grows with a token, and what does not."""
    grows = (large - small) // _PROBE_BYTES
    window = getattr(layer, "sliding_window", None)
    if grows:
        yield ("full", grows, 0) if window is None else ("sliding", grows, int(window))
    fixed = small // _PROBE_BYTES - 4 * grows
    if fixed > 0:
        yield "state", fixed, 0


def _kind(key: tuple[str, int, int], layers: int) -> CacheLayers:
    kind, entries, window = key
    if kind == "full":
        return FullLayers(layers=layers, entries_per_token=entries)
    if kind == "sliding":
        return SlidingLayers(layers=layers, entries_per_token=entries, window_tokens=window)
    return StateLayers(layers=layers, entries_per_layer=entries)


def _bytes(layer: Any) -> int:
    return sum(tensor.nbytes for tensor in _tensors(vars(layer)))


def _tensors(held: Any) -> Iterator[Tensor]:
    if isinstance(held, Tensor):
        if held.ndim > 1:  # counters and window sizes are no content
            yield held
    elif isinstance(held, dict | list | tuple):
        for part in held.values() if isinstance(held, dict) else held:
            yield from _tensors(part)
