"""Where vLLM's CPU build or its own models of transformers' classes can't run a checkpoint, or would compute something else.

Found by reading the models of vLLM 0.32 and by comparing with them; tests/vllm/test_families.py runs the others beside the native adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropepp_eval.checkpoints.families import rope_parameters
from ropepp_eval.inert import inert

_SILU = {"hidden_act": "silu"}
_NO_BIAS = {"attention_bias": False}
_ASSUMED: Mapping[str, Mapping[str, Any]] = {
    "cohere2": {**_SILU, **_NO_BIAS},
    "gemma": {"hidden_act": "gelu_pytorch_tanh", **_NO_BIAS},
    "gemma2": {"hidden_activation": "gelu_pytorch_tanh"},
    "glm4": _SILU,
    "gpt2": {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False},
    "gpt_oss": {"attention_bias": True, "swiglu_alpha": 1.702, "swiglu_limit": 7.0},
    "granite": _SILU,
    "llama": _SILU,
    "mistral": _SILU,
    "mixtral": _SILU,
    "phi3": _SILU,
    "qwen2": _SILU,
    "qwen3": {**_SILU, **_NO_BIAS},
    "qwen3_moe": {**_SILU, **_NO_BIAS},
    "stablelm": {**_SILU, "use_parallel_residual": False, "qk_layernorm": False},
}
"""By model_type: fields of config.json that vLLM's model takes to be this, whatever is written; biases it drops without a word."""
_ONE_WINDOW_FOR_ALL = frozenset({"qwen2", "qwen3"})
"""vLLM's models of these know a window for all layers or for none."""


def why_not(config: Any, device_type: str) -> str:
    """What vLLM can't do of a model of transformers' own classes, or does otherwise than the class; empty where it gives the same answers.

    Args:
        config: transformers' own, of a class that vLLM has a model for.
        device_type: `cpu` or `cuda`.
    """
    kind = config.model_type
    for name, value in _ASSUMED.get(kind, {}).items():
        if (found := getattr(config, name, value)) != value:
            return f"vLLM computes {name} {value!r} and config.json says {inert(repr(found))[:80]}"
    layers = list(getattr(config, "layer_types", None) or ())
    if kind in _ONE_WINDOW_FOR_ALL and len(set(layers)) > 1:
        return "vLLM knows a window in all layers or in none, not in some"
    if kind == "cohere2" and "sliding_attention" in layers:
        return "vLLM's windows reach a token further than transformers'"
    if kind == "gpt_oss" and device_type == "cpu" and config.intermediate_size % 32:
        return f"vLLM's experts on a CPU take an intermediate_size of a multiple of 32, not {config.intermediate_size}"
    if kind == "gpt_oss":
        return _why_not_gpt_oss(config, layers)
    return ""


def _why_not_gpt_oss(config: Any, layers: list[str]) -> str:
    """vLLM's model turns by YaRN, its own way of scaling attention included, and puts windows into layers 0, 2, 4 and so on."""
    rope = next(iter(rope_parameters(config).values()), {})
    given = {name for name, value in rope.items() if value is not None}
    if rope.get("rope_type") != "yarn":
        return f"vLLM computes rope_type 'yarn' and config.json says {inert(repr(rope.get('rope_type')))[:80]}"
    if unread := sorted(given & {"attention_factor", "mscale", "mscale_all_dim"}):
        return f"vLLM does not read {unread[0]} of its rope_parameters"
    if absent := sorted({"beta_fast", "beta_slow"} - given):
        return f"vLLM wants {absent[0]} among its rope_parameters"
    if layers != [("sliding_attention", "full_attention")[layer % 2] for layer in range(len(layers))]:
        return "vLLM puts windows into every second layer, the first included, and config.json says other layers"
    return ""


def head_sizes(device_type: str) -> tuple[int, ...]:
    """Widths of heads that vLLM's attention takes; empty where it depends on the kernel that the device has."""
    if device_type != "cpu":
        return ()
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    return tuple(CPUAttentionBackend.get_supported_head_sizes())
