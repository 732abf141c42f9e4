"""What the adapter has to know of a loaded model: its shapes, and which tokens end a text."""

from __future__ import annotations

import copy
from typing import Any

import torch

from ropepp_eval.checkpoints.families import why_whole
from ropepp_eval.checkpoints.inspection import widest_mlp
from ropepp_eval.checkpoints.probe import cache_kinds
from ropepp_eval.checkpoints.reading import head_width, met_by_a_token, own_cache
from ropepp_eval.forecasts.shapes import ModelShapes
from ropepp_eval.modeling.configuration import RopePPConfig


def end_ids(model: Any, eos: int | None) -> frozenset[int]:
    """Tokens that end a generation: the tokenizer's EOS and the generation config's."""
    named = [eos, getattr(getattr(model, "generation_config", None), "eos_token_id", None)]
    return frozenset(i for entry in named for i in (entry if isinstance(entry, list) else [entry]) if i is not None)


def shapes_of(model: Any) -> ModelShapes:
    """Shapes of any causal language model of transformers. What its layers keep is found with a copy that has no numbers.

    Raises:
        UserError: its class keeps no cache that is known.
    """
    config = copy.deepcopy(model.config)
    ours = isinstance(config, RopePPConfig)
    if ours:
        kinds, attending = own_cache(config), config.heads.attention
    else:
        with torch.device("meta"):
            kinds = cache_kinds(type(model)(config))
        attending = int(getattr(config, "num_attention_heads", 0))
    return ModelShapes(
        parameters=int(model.num_parameters()),
        matrix_parameters=met_by_a_token({name: one.shape for name, one in model.named_parameters()}, config),
        hidden_size=int(config.hidden_size),
        intermediate_size=widest_mlp(config),
        attention_heads=attending,
        layers=int(config.num_hidden_layers),
        head_dim=head_width(config),
        vocab_size=int(config.vocab_size),
        cache=kinds,
        whole=bool(why_whole(config, kinds)),
        biased=ours and config.position_embedding.biased,
        sinks=any(name.endswith(".sinks") for name, _ in model.named_parameters()),
        ours=ours,
    )
