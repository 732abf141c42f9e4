"""The files of a checkpoint as pydantic models: config.json, the index of shards, a safetensors header, generation_config.json.

Only what is named here is read. Everything else that such files may hold, an attention kernel to fetch or code to run among it,
reaches nobody.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from ropepp_eval.outside import Items, Outside

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Layers = Annotated[int, Field(ge=1, le=4096)]
Tokens = Annotated[int, Field(ge=1, le=(1 << 31) - 1)]
Activation = Literal[
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "mish", "tanh"
]  # fmt: skip
Ids = int | Items[int] | None
"""A token id, several, or none."""


def _flat(value: Any) -> Any:
    """Rope parameters for each layer type apart are another model's."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict):
                raise ValueError(f"it must hold plain values, and {name!r} is a mapping")
    return value


class RopeConfig(Outside):
    """The authors' own field of config.json."""

    imag: bool | None = None
    imag_mode: str | None = None
    factor: float | None = None
    yarn: bool | None = None


class MaskConfig(Outside):
    """The authors' field for experiments with noise, which come from the user here."""

    noise_std: float | None = None


class RopeParameters(Outside):
    """transformers' `rope_parameters`, or `rope_scaling` of older releases; `positions.scaling` says which types are computed."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: float | None = None
    factor: float | None = None
    original_max_position_embeddings: Tokens | None = None
    partial_rotary_factor: float | None = None


Rope = Annotated[RopeParameters | None, BeforeValidator(_flat)]


class IdFields(Outside):
    """Token ids with a meaning, in config.json."""

    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: Ids = None


class ConfigFile(IdFields):
    """config.json, of a Llama as the authors publish it or of ours."""

    model_type: str
    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Annotated[int, Field(ge=1, le=1 << 16)]
    num_key_value_heads: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    head_dim: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    max_position_embeddings: Tokens
    hidden_act: Activation = "silu"
    initializer_range: Annotated[float, Field(ge=0, le=1)] = 0.02
    rms_norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    # how positions enter, in the authors' form and in transformers'
    rope_config: RopeConfig | None = None
    mask_config: MaskConfig | None = None
    rope_parameters: Rope = None
    rope_scaling: Rope = None
    rope_theta: float | None = None
    partial_rotary_factor: float | None = None
    use_alibi: bool | None = None
    fourier: bool | None = None
    fourier_dim: Annotated[int, Field(ge=2, le=1 << 16)] | None = None
    # ours
    position: str | None = None
    position_settings: dict[str, Any] | None = None
    noise_std: float = 0.0
    noise_target: str = "both"
    noise_seed: int = 0
    note: str | None = None


CARRIED = frozenset({
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "max_position_embeddings", "hidden_act", "initializer_range", "rms_norm_eps", "tie_word_embeddings", "attention_bias", "mlp_bias",
    "attention_dropout", "noise_std", "noise_target", "noise_seed",
})  # fmt: skip
"""Fields that reach the model's config as they are; token ids do where the vocabulary has them, positions through detection."""


class GenerationFile(Outside):
    """generation_config.json: which tokens begin and end a text. How to sample is none of its business here."""

    bos_token_id: int | None = None
    eos_token_id: Ids = None


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise ValueError("it points outside its folder; it must be the name of a file there")
    if not name.endswith(".safetensors"):
        raise ValueError("it must be the name of a .safetensors file")
    return name


class IndexFile(Outside):
    """model.safetensors.index.json; sizes that it tells are not used."""

    weight_map: Annotated[dict[str, Annotated[str, AfterValidator(_plain_name)]], Field(min_length=1)]
    """File of each tensor."""


Offset = Annotated[int, Field(ge=0, le=1 << 62)]


class TensorEntry(Outside):
    """A tensor in a safetensors header."""

    dtype: str
    shape: Items[Offset]
    data_offsets: Annotated[tuple[Offset, Offset], Strict(False)]
    """Its first byte and the one after its last, counted from the header's end."""
