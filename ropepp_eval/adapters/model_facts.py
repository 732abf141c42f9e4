"""What the adapter has to know of a loaded model: its shapes, and which tokens end a text."""

from __future__ import annotations

from typing import Any

from ropepp_eval.adapters.memory import ModelShapes


def end_ids(model: Any, eos: int | None) -> frozenset[int]:
    """Tokens that end a generation: the tokenizer's EOS and the generation config's."""
    named = [eos, getattr(getattr(model, "generation_config", None), "eos_token_id", None)]
    return frozenset(i for entry in named for i in (entry if isinstance(entry, list) else [entry]) if i is not None)


def shapes_of(model: Any) -> ModelShapes:
    """Shapes of a Llama-like model, read from its modules: configs count heads in their own ways."""
    config, layer = model.config, model.model.layers[0]
    head_dim = int(layer.self_attn.head_dim)
    return ModelShapes(
        parameters=int(model.num_parameters()),
        layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        intermediate_size=int(config.intermediate_size),
        attention_heads=layer.self_attn.o_proj.in_features // head_dim,
        key_value_heads=layer.self_attn.k_proj.out_features // head_dim,
        head_dim=head_dim,
        vocab_size=int(config.vocab_size),
    )
