"""Tiny random models of every position embedding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
from ropepp_eval.positions import parse_position
from ropepp_eval.positions.base import Rotary

POSITIONS = ["rope", "ropepp_eh", "ropepp_ec", "fope", "partial", "alibi", "nope", "ropepp_ec+yarn32", "ropepp_eh+pi8"]


def build(position: str, attention: str = "eager", **fields: object) -> RopePPForCausalLM:
    kind, scaling, _ = parse_position(position)
    embedding = kind(scaling=scaling) if issubclass(kind, Rotary) else kind()
    settings = {**embedding.to_hf(), "position": kind.name, "vocab_size": 61, "hidden_size": 64, "intermediate_size": 48,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
                "initializer_range": 0.25, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **fields}  # fmt: skip
    torch.manual_seed(7)
    model = RopePPForCausalLM(RopePPConfig(**settings)).eval()
    model.set_attn_implementation(attention)
    return model


@pytest.fixture
def tiny() -> Callable[..., RopePPForCausalLM]:
    return build


@pytest.fixture(params=POSITIONS)
def position(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(3, 61, (2, 24), generator=torch.Generator().manual_seed(3))
