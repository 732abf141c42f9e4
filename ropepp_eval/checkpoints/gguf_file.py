"""A GGUF file of a Llama-shaped model: what its metadata says, its config, and its tensors as transformers names them.

Read by the `gguf` package of llama.cpp's own authors. Whatever would make another model than a plain Llama is refused: a reader that
leaves out what it does not know (scaled frequencies, experts, biases) gives a model that runs and answers worse.
Source: llama.cpp, docs/gguf.md and convert_hf_to_gguf.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown

ARCHITECTURE = "llama"
_MAGIC = b"GGUF"
_LARGEST = 1 << 31
_ADVICE = "take the model's safetensors checkpoint"
_SIZES = ("context_length", "block_count", "embedding_length", "feed_forward_length", "attention.head_count")
_HARMLESS = {"vocab_size", "rope.freq_base", "attention.head_count_kv", "attention.layer_norm_rms_epsilon", *_SIZES}
_MUST_BE: Mapping[str, tuple[Any, ...]] = {"rope.scaling.type": ("none",), "expert_count": (0,), "expert_used_count": (0,)}
_HEAD_WIDTHS = ("rope.dimension_count", "attention.key_length", "attention.value_length")
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LAYER = re.compile(r"blk\.(\d{1,6})\.(\w+)\.weight")


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF file, by its first bytes or, where it can't be read, by its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == _MAGIC or path.suffix == ".gguf"
    except OSError:
        return path.suffix == ".gguf"


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file whose metadata was read; its tensors are read when asked for."""

    path: Path
    fields: Mapping[str, Any]
    """Metadata by name: numbers, texts, lists."""
    tensors: Mapping[str, Any]
    """The `gguf` package's tensors by their names in the file."""

    @property
    def where(self) -> str:
        return inert(self.path)

    @property
    def types(self) -> str:
        """How the tensors are stored, the type of most entries first."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.tensor_type.name] = sizes.get(tensor.tensor_type.name, 0) + int(tensor.n_elements)
        return ", ".join(sorted(sizes, key=lambda name: -sizes[name]))

    def own(self, name: str, default: Any = None) -> Any:
        """A field of the architecture's own."""
        return self.fields.get(f"{ARCHITECTURE}.{name}", default)


def read_gguf(path: Path) -> GgufFile:
    """The metadata of a GGUF file.

    Raises:
        UserError: the `gguf` package is missing, the file is damaged, or it is not a plain Llama.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise UserError(
            f"reading {inert(path)} needs the package gguf; install it with: pip install 'ropepp-eval[gguf]'"
        ) from None
    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the package checks little: a damaged file ends it in many ways
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{inert(path)} can't be read as GGUF ({reason}); copy or download it again") from error
    found = GgufFile(path, fields, tensors)
    _check_architecture(found)
    return found


def _check_architecture(file: GgufFile) -> None:
    kind = file.fields.get("general.architecture")
    if kind != ARCHITECTURE:
        raise UserError(
            f"{file.where}: general.architecture is {shown(kind)}; only llama (Llama-shaped models) is exported from GGUF: {_ADVICE}"
        )
    for name in _SIZES:
        value = file.own(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST:
            raise UserError(f"{file.where}: llama.{name} is {shown(value)}; it must be a whole number above 0: {_ADVICE}")
    width = _head_width(file)
    for full, value in file.fields.items():
        name = full.removeprefix(f"{ARCHITECTURE}.")
        if name == full or name in _HARMLESS:
            continue
        if name in _HEAD_WIDTHS:
            wanted: tuple[Any, ...] = (width,)
        elif name in _MUST_BE:
            wanted = _MUST_BE[name]
        else:
            raise UserError(
                f"{file.where}: {inert(full)[:80]} is {shown(value)}, which a plain Llama does not have: {_ADVICE}"
            )
        if value not in wanted:
            raise UserError(
                f"{file.where}: {full} is {shown(value)}; only a plain Llama, where it is {shown(wanted[0])}, is exported from GGUF: "
                f"{_ADVICE}"
            )


def _head_width(file: GgufFile) -> int:
    heads, hidden = int(file.own("attention.head_count")), int(file.own("embedding_length"))
    return int(file.own("rope.dimension_count", hidden // heads))


def llama_config(file: GgufFile) -> Any:
    """The `LlamaConfig` that the metadata describes.

    Raises:
        UserError: a value is missing or of another kind.
    """
    from transformers import LlamaConfig

    heads = file.own("attention.head_count")
    special = {name: _token(file, name) for name in ("bos", "eos", "eot", "padding")}
    stops = sorted({token for token in (special["eos"], special["eot"]) if token is not None})
    embedding = file.tensors.get("token_embd.weight")
    return LlamaConfig(
        vocab_size=int(embedding.shape[-1]) if embedding is not None else len(file.fields.get("tokenizer.ggml.tokens", ())),
        hidden_size=file.own("embedding_length"),
        intermediate_size=file.own("feed_forward_length"),
        num_hidden_layers=file.own("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_number(file, "attention.head_count_kv", heads, int),
        head_dim=_head_width(file),
        max_position_embeddings=file.own("context_length"),
        rms_norm_eps=_number(file, "attention.layer_norm_rms_epsilon", None, float),
        rope_parameters={"rope_type": "default", "rope_theta": _number(file, "rope.freq_base", 10000.0, float)},
        tie_word_embeddings="output.weight" not in file.tensors,
        bos_token_id=special["bos"],
        eos_token_id=stops[0] if len(stops) == 1 else stops or None,
        pad_token_id=special["padding"],
        architectures=["LlamaForCausalLM"],
    )


def _number(file: GgufFile, name: str, default: Any, kind: type[int] | type[float]) -> Any:
    value: Any = file.own(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not 0 < value < _LARGEST:
        raise UserError(f"{file.where}: llama.{name} is {shown(value)}; it must be a number above 0: {_ADVICE}")
    return kind(value)


def _token(file: GgufFile, name: str) -> int | None:
    value, entries = file.fields.get(f"tokenizer.ggml.{name}_token_id"), len(file.fields.get("tokenizer.ggml.tokens", ()))
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < entries):
        raise UserError(
            f"{file.where}: tokenizer.ggml.{name}_token_id is {shown(value)}, none of the {entries:,} tokens: {_ADVICE}"
        )
    return value


def llama_tensors(file: GgufFile, config: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor by transformers' name, [out, in] in float32, which holds exactly what quantised blocks say.

    Raises:
        UserError: a tensor is missing, has another shape than the metadata says, no place in a Llama, or a type that is not known.
    """
    expected = _expected(config)
    named = {_name_in_transformers(file, name): tensor for name, tensor in file.tensors.items()}
    for name, shape in expected.items():
        if name not in named:
            raise UserError(f"{file.where}: the tensor that is {name} in transformers is missing; copy or download it again")
        found = tuple(int(size) for size in reversed(named[name].shape))
        if found != shape:
            raise UserError(
                f"{file.where}: {inert(named[name].name)} is {list(found)} and the metadata makes it {list(shape)}; they do not belong "
                "together"
            )
    for name in named:
        if name not in expected:
            raise UserError(
                f"{file.where}: {inert(named[name].name)} is of a layer beyond llama.block_count; they do not belong together"
            )
        yield name, _tensor(file, name, named[name], config)


def _expected(config: Any) -> dict[str, tuple[int, ...]]:
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    shapes = {
        "attn_norm": (hidden,), "ffn_norm": (hidden,), "attn_q": (queries, hidden), "attn_k": (keys, hidden), "attn_v": (keys, hidden),
        "attn_output": (hidden, queries), "ffn_gate": (inner, hidden), "ffn_up": (inner, hidden), "ffn_down": (hidden, inner),
    }  # fmt: skip
    expected: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tie_word_embeddings:
        expected["lm_head.weight"] = (config.vocab_size, hidden)
    for layer in range(config.num_hidden_layers):
        expected |= {f"model.layers.{layer}.{_OF_A_LAYER[own]}.weight": shape for own, shape in shapes.items()}
    return expected


def _name_in_transformers(file: GgufFile, name: str) -> str:
    layer = _LAYER.fullmatch(name)
    if layer and layer[2] in _OF_A_LAYER:
        return f"model.layers.{int(layer[1])}.{_OF_A_LAYER[layer[2]]}.weight"
    if name in _WHOLE:
        return _WHOLE[name]
    what = "scales the frequencies (Llama 3.1 and later)" if name == "rope_freqs.weight" else "a plain Llama does not have"
    raise UserError(f"{file.where}: the tensor {inert(name)[:80]} {what}; that is not exported from GGUF: {_ADVICE}")


def _tensor(file: GgufFile, name: str, stored: Any, config: Any) -> torch.Tensor:
    import numpy as np
    from gguf import dequantize

    try:
        values = np.array(dequantize(stored.data, stored.tensor_type), dtype=np.float32)
    except Exception as error:  # a type that the package can't compute, or blocks that are not whole
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{file.where}: {inert(stored.name)} ({stored.tensor_type.name}) can't be read ({reason}); {_ADVICE}"
        ) from error
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads:  # llama.cpp turns neighbouring pairs, transformers pairs half a head apart
        values = values.reshape(heads, config.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)
    return torch.from_numpy(np.ascontiguousarray(values))
