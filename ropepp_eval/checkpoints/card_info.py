"""A published checkpoint as its card describes it, for forecasts: none of its files need be here."""

from __future__ import annotations

from ropepp_eval.checkpoints.cards import Card, config_of_card
from ropepp_eval.checkpoints.inspection import CheckpointInfo
from ropepp_eval.checkpoints.reading import expected_shapes, met_by_a_token, own_cache
from ropepp_eval.hashing import hash_json
from ropepp_eval.positions.scaling import scaling_label
from ropepp_eval.positions.settings import settings_label


def info_of_card(card: Card, position: str | None = None) -> CheckpointInfo:
    """What `inspect_checkpoint` would say of the card's files, as far as shapes tell it; its hash is the card's, not that of weights.

    Raises:
        UserError: the position is unknown, or the card's shape can't be built with it.
    """
    config = config_of_card(card, position)
    shapes, heads, embedding = expected_shapes(config), config.heads, config.position_embedding
    return CheckpointInfo(
        name=card.hub_id.rpartition("/")[2],
        folder=card.hub_id,
        architecture="RopePPForCausalLM",
        model_type=config.model_type,
        position=config.position,
        scaling=scaling_label(getattr(embedding, "scaling", None)),
        base=card.base,
        evidence=(f"card {card.name} says {card.position}",),
        query_heads=heads.query,
        key_value_heads=heads.key_value,
        attention_heads=heads.attention,
        head_dim=config.head_dim,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        cache=own_cache(config),
        whole="",
        parameters=card.parameters,
        matrix_parameters=met_by_a_token(shapes, config),
        biased=embedding.biased,
        vocab_size=config.vocab_size,
        max_position_embeddings=card.trained_length_tokens,
        dtype="bfloat16",
        sha256=hash_json(card.model_dump()),
        has_tokenizer=False,
        settings=settings_label(embedding),
        by_card=True,
    )
