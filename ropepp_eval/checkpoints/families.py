"""Which of transformers' own classes are known, by test, to share prefixes exactly, and how they take masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropepp_eval.checkpoints.cache_layers import CacheKinds, StateLayers

ONE_MASK = "one mask"
"""Every layer gets the mask that the decoder is given."""
MASK_BY_TYPE = "a mask by layer type"
"""The decoder takes a mapping from layer type (`full_attention`, `sliding_attention`) to mask."""
SHARING: Mapping[str, str] = {
    "cohere2": MASK_BY_TYPE, "gemma": ONE_MASK, "gemma2": MASK_BY_TYPE, "gemma3_text": MASK_BY_TYPE, "glm4": ONE_MASK,
    "gpt2": ONE_MASK, "gpt_neox": ONE_MASK, "gpt_oss": MASK_BY_TYPE, "granite": ONE_MASK, "llama": ONE_MASK, "mistral": ONE_MASK,
    "mixtral": ONE_MASK, "olmo2": ONE_MASK, "olmo3": MASK_BY_TYPE, "phi": ONE_MASK, "phi3": ONE_MASK, "qwen2": MASK_BY_TYPE,
    "qwen3": MASK_BY_TYPE, "qwen3_moe": ONE_MASK, "stablelm": ONE_MASK, "starcoder2": ONE_MASK,
}  # fmt: skip
"""By model_type. tests/adapters/test_families.py runs each through shared prefixes, chunks, padding and side-by-side generation
against plain transformers, and refuses an entry that it does not run. What is missing here runs whole, prompt by prompt."""


def rope_parameters(config: Any) -> dict[str, dict[str, Any]]:
    """transformers' rope parameters by layer type; under an empty name where all layers have the same. Empty: nothing rotates."""
    parameters = getattr(config, "rope_parameters", None) or {}
    if any(isinstance(value, dict) for value in parameters.values()):
        return {name: value for name, value in parameters.items() if isinstance(value, dict)}
    return {"": dict(parameters)} if parameters else {}


def rope_types(config: Any) -> set[str]:
    """The rope types that a config names."""
    return {str(parameters.get("rope_type") or "default") for parameters in rope_parameters(config).values()}


def depends_on_length(config: Any) -> str | None:
    """The rope type whose angles depend on how long the whole text is, if the config names one."""
    return next(iter(sorted(rope_types(config) & {"dynamic", "longrope"})), None)


def why_whole(config: Any, kinds: CacheKinds) -> str:
    """Why prompts must be read whole, one by one, without sharing; empty where prefixes are shared exactly.

    Args:
        config: the model's, ours or transformers'.
        kinds: what its layers keep.
    """
    if any(isinstance(kind, StateLayers) for kind in kinds):
        return "a state can't be cut back to an earlier token"
    changing = depends_on_length(config)
    if changing is not None:
        return f"{changing} rope turns each token by angles that depend on the length of the whole text"
    if config.model_type != "ropepp" and config.model_type not in SHARING:
        return f"sharing is not tested for {config.model_type}"
    return ""
