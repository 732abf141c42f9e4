"""The configuration of a Llama with any position embedding (model_type `ropepp`)."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig

from ropepp_eval.positions import Heads, Position, get_position


@strict
class RopePPConfig(LlamaConfig):
    """LlamaConfig with the name and settings of a position embedding.

    The rotary base and its scaling stay where transformers keeps them, in `rope_parameters`. `num_attention_heads` (H) and
    `num_key_value_heads` (K) keep the meaning of the authors' files; `heads` says what a layer projects, caches and attends with.

    Raises UserError for an unknown position, settings it does not have, or head counts it can't be built with.
    """

    model_type = "ropepp"

    position: str = "rope"
    position_settings: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.position_settings = dict(self.position_settings or {})
        embedding = self.position_embedding
        embedding.check(self.heads, self.head_dim)
        self.position_settings = embedding.to_hf()["position_settings"]

    @property
    def position_embedding(self) -> Position:
        """The position embedding's own config, from `position`, `position_settings` and `rope_parameters`."""
        return get_position(self.position).from_hf(self.rope_parameters or {}, self.position_settings or {})

    @property
    def heads(self) -> Heads:
        """Heads that a layer projects, caches and attends with."""
        return get_position(self.position).heads(self.num_attention_heads, self.num_key_value_heads)

    @property
    def head_roles(self) -> tuple[str, ...]:
        """`real` or `imaginary` for each attention head of a layer, in the order of the output projection."""
        return get_position(self.position).head_roles(self.heads)

    def _validate_ropepp_yarn_rope_parameters(self, rope_parameters: dict[str, Any], ignore_keys: set[str] | None = None) -> None:
        """Called by transformers for our own rope type; `from_hf` has already checked the numbers."""
