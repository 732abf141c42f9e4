"""Tiny checkpoint folders for tests, and ways to change them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM

SHAPE: dict[str, Any] = {
    "vocab_size": 11, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "rope_parameters": None,
}  # fmt: skip


def make_folder(folder: Path, *, seed: int = 0, **fields: Any) -> Path:
    """A random checkpoint of ours with plain RoPE."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        RopePPForCausalLM(RopePPConfig(**{**SHAPE, **fields})).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    return folder


def set_json(file: Path, **fields: Any) -> None:
    """Fields of a JSON file changed; it is made where it is missing."""
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | fields))


def set_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def split(folder: Path, *, index: bool = True, stem: str = "model") -> None:
    """The weights as two shards instead of one file."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(weights), {}
    for number in (1, 2):
        shard = f"{stem}-{number:05}-of-00002.safetensors"
        held = names[number - 1 :: 2]
        save_file({name: weights[name] for name in held}, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(held, shard)
    if index:
        set_json(folder / f"{stem}.safetensors.index.json", metadata={"total_size": -1}, weight_map=weight_map)


def write_header(file: Path, header: Mapping[str, Any] | str | bytes, content: bytes = b"") -> None:
    """A file of the safetensors format with this header."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + content)


def refusal(folder: Path, **arguments: Any) -> str:
    """The one line with which inspecting and loading alike refuse a folder."""
    with pytest.raises(UserError) as inspected:
        inspect_checkpoint(folder, **arguments)
    with pytest.raises(UserError) as loaded:
        load_checkpoint(folder, **arguments)
    assert str(loaded.value) == str(inspected.value)
    assert str(inspected.value).isprintable()
    return str(inspected.value)
