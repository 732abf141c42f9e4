"""The configuration of a Llama with any position embedding (model_type `ropepp`)."""

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Heads, Position, get_position


@strict
class RopePPConfig(LlamaConfig):
    """LlamaConfig with the name and settings of a position embedding.

    The rotary base and its scaling stay where transformers keeps them, in `rope_parameters`. `num_attention_heads` (H) and
    `num_key_value_heads` (K) keep the meaning of the authors' files; `heads` says what a layer projects, caches and
    attends with.

    Raises UserError for an unknown position, settings it does not have, or head counts it can't be built with.
    """

    model_type = "ropepp"

    position: str = "rope"
    position_settings: dict[str, Any] | None = None
    noise_std: float = 0.0
    """Standard deviation of Gaussian noise on the encoded queries (section 5 of the paper); 0 changes no bit."""
    noise_target: str = "both"
    """Which heads get it: `real`, `imaginary` or `both`."""
    noise_seed: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.position_settings = dict(self.position_settings or {})
        embedding = self.position_embedding
        if self.num_attention_heads % self.num_key_value_heads or self.heads.attention % self.heads.key_value:
            raise UserError(
                f"num_attention_heads is {self.num_attention_heads} and num_key_value_heads is {self.num_key_value_heads}; "
                "key/value heads must divide the others evenly"
            )
        embedding.check(self.heads, self.head_dim)
        embedding.check_bias(self.heads, self.head_dim)
        self.position_settings = embedding.to_hf()["position_settings"]
        self.set_noise(self.noise_std, self.noise_target, self.noise_seed)

    def set_noise(self, std: float, target: str = "both", seed: int = 0) -> None:
        """Set the noise on encoded queries; a model that holds this config follows at its next call.

        Raises:
            UserError: a negative deviation, or a target that is neither `real`, `imaginary` nor `both`.
        """
        if not 0 <= std < float("inf"):
            raise UserError(f"noise_std {std!r} is no standard deviation; give 0 or more")
        if target not in ("real", "imaginary", "both"):
            raise UserError(f"noise_target {target!r} is unknown; it may be real, imaginary or both")
        self.noise_std, self.noise_target, self.noise_seed = float(std), target, int(seed)

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

    @property
    def stored_names(self) -> list[str]:
        """Names, within a layer's attention, of the tensors that the position embedding keeps in the checkpoint."""
        with torch.device("meta"):
            return list(self.position_embedding.stored(self.heads, self.head_dim))

    def _validate_ropepp_yarn_rope_parameters(self, rope_parameters: dict[str, Any], ignore_keys: Any = None) -> None:
        """Called by transformers for our own rope type; `from_hf` has already checked the numbers."""
