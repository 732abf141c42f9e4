"""How positions enter one of transformers' own models, in words, as its config describes it."""

from __future__ import annotations

from typing import Any

from ropepp_eval.checkpoints.cache_layers import CacheKinds, FullLayers, StateLayers, windows
from ropepp_eval.checkpoints.families import rope_parameters

_LEARNED = ("wpe", "embed_positions", "position_embeddings", "position_embedding")
"""Names of modules that hold a learned vector for each position."""
_WINDOWS_ONLY = ("cohere2", "cohere2_moe")
"""Classes whose full-attention layers rotate nothing, which no field of the config says."""
_STRETCHED = {"linear": "linear", "yarn": "yarn", "dynamic": "dynamic NTK", "longrope": "longrope", "llama3": "llama3"}


def position_in_words(config: Any, kinds: CacheKinds, modules: list[str]) -> str:
    """Such as `rope, yarn factor 4 from 32,768 (transformers)`.

    Args:
        config: of one of transformers' classes.
        kinds: what its layers keep.
        modules: names of the model's modules.
    """
    parts = [_encoding(config, kinds, modules), *_layers(config, kinds)]
    return f"{', '.join(filter(None, parts))} (transformers)"


def rotary_base(config: Any) -> float | None:
    """The rotary base, of full-attention layers where kinds of layers differ; None where nothing rotates."""
    by_type = rope_parameters(config)
    parameters = by_type.get("full_attention") or next(iter(by_type.values()), {})
    base = parameters.get("rope_theta")
    return None if base is None else float(base)


def _encoding(config: Any, kinds: CacheKinds, modules: list[str]) -> str:
    if getattr(config, "alibi", False) or config.model_type == "bloom":
        return "alibi"
    by_type = rope_parameters(config)
    if by_type:
        said = {name: _rope(config, parameters) for name, parameters in by_type.items()}
        if len(set(said.values())) == 1 and len({p.get("rope_theta") for p in by_type.values()}) == 1:
            return next(iter(said.values()))
        return " and ".join(
            f"{text} base {by_type[name].get('rope_theta', 0):,.0f} on {name.replace('_', ' ')}"
            for name, text in said.items()
        )
    if any(name.rsplit(".", 1)[-1] in _LEARNED for name in modules):
        return "learned positions"
    return (
        "no positions"
        if any(isinstance(kind, StateLayers) for kind in kinds)
        else f"positions as {config.model_type} has them"
    )


def _rope(config: Any, parameters: dict[str, Any]) -> str:
    kind = str(parameters.get("rope_type") or "default")
    text = "rope on layers with a window only" if config.model_type in _WINDOWS_ONLY else "rope"
    partial = parameters.get("partial_rotary_factor")
    if partial is not None and partial != 1:
        text += f" on {partial:.0%} of each head"
    if kind == "default":
        return text
    text += f", {_STRETCHED.get(kind, kind)}"
    original = parameters.get("original_max_position_embeddings") or getattr(
        config, "original_max_position_embeddings", None
    )
    if original is None and kind in ("dynamic", "yarn"):
        original = getattr(config, "max_position_embeddings", None)
    if parameters.get("factor") is not None:
        text += f" factor {parameters['factor']:g}"
    return text if original is None else f"{text} from {original:,}"


def _layers(config: Any, kinds: CacheKinds) -> list[str]:
    """Which layers see how much, where they differ."""
    every = int(config.num_hidden_layers)
    full = sum(kind.layers for kind in kinds if isinstance(kind, FullLayers))
    states = sum(kind.layers for kind in kinds if isinstance(kind, StateLayers))
    said = []
    if found := windows(kinds):
        sizes = " and ".join(f"{kind.window_tokens:,}" for kind in found)
        if full:
            said += [f"full attention on {_share(full, every)}", f"sliding window {sizes} elsewhere"]
        else:
            said.append(f"sliding window {sizes}")
    if states:
        said.append(f"a state on {_share(states, every)}")
    rotated = getattr(config, "no_rope_layers", None)
    if isinstance(rotated, list) and 0 < sum(map(bool, rotated)) < len(rotated):
        said.append(f"no rope on {_share(len(rotated) - sum(map(bool, rotated)), len(rotated))}")
    return said


def _share(some: int, every: int) -> str:
    """`1 layer in 6`, or `4 of 26 layers` where it does not come out even."""
    return f"1 layer in {every // some}" if every % some == 0 and some < every else f"{some} of {every} layers"
