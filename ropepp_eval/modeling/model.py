"""RoPE++ and its baselines as the difference from transformers' Llama: attention, position tables, nothing else.

The constructors skip their parent's, which would build layers of other shapes only to have them replaced.
B batch, T tokens, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaForCausalLM,
    LlamaMLP,
    LlamaModel,
    LlamaPreTrainedModel,
    LlamaRMSNorm,
)

from ropepp_eval.modeling.attention import attend, attend_biased
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions.noise import gaussian_noise


def positions_of_mask(attention_mask: Any, new_tokens: int, cache: Any) -> Tensor | None:
    """Positions [B, new_tokens] counted from each row's first attended token, as generate() counts them.

    None where the mask is no 2D mask over the cached and the new tokens: then the caller counts from the cache's length.
    """
    if not isinstance(attention_mask, Tensor) or attention_mask.dim() != 2:
        return None
    past_tokens = 0 if cache is None else cache.get_seq_length()
    if attention_mask.shape[1] != past_tokens + new_tokens:
        return None
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -new_tokens:]


def as_numbers(mask: Any, dtype: torch.dtype) -> Any:
    """A bool mask of four axes as eager attention takes it, which would add 1 where it means yes; anything else as it is."""
    if not isinstance(mask, Tensor) or mask.dim() != 4 or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


class PositionTables(nn.Module):
    """Turns integer positions into the tables that all layers share.

    It holds no buffer on purpose: a buffer would be rounded by `.half()` and left empty by loading through the meta device.
    The float32 frequencies are kept as Python numbers, which hold them exactly.
    """

    def __init__(self, config: RopePPConfig) -> None:
        super().__init__()
        self.position = config.position_embedding
        self.frequencies: list[float] = self.position.frequencies(config.head_dim).tolist()

    @torch.no_grad()
    def forward(self, hidden_states: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        """Tables for position_ids [B or 1, T]; float32 on the device of `hidden_states`, whose dtype does not matter."""
        device = hidden_states.device
        with torch.autocast(device_type=device.type, enabled=False):
            frequencies = torch.tensor(self.frequencies, dtype=torch.float32, device=device)
            return self.position.tables(position_ids.to(device), frequencies)


class RopePPAttention(LlamaAttention):
    """Llama's attention with the head counts, the encoding and the bias of a position embedding."""

    def __init__(self, config: RopePPConfig, layer_idx: int) -> None:
        super(LlamaAttention, self).__init__()
        heads, bias = config.heads, config.attention_bias  # diff with Llama
        self.heads = heads
        self.position = config.position_embedding
        self.head_roles = config.head_roles  # the config looks its position up anew each time, which takes milliseconds
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = heads.attention // heads.key_value
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = True
        self.q_proj = nn.Linear(config.hidden_size, heads.query * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, heads.key_value * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, heads.key_value * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(heads.attention * self.head_dim, config.hidden_size, bias=bias)
        self.stored_names = tuple(config.stored_names)
        for name, tensor in self.position.stored(heads, self.head_dim).items():
            start = tensor.to(torch.float32)
            start._is_start = True  # type: ignore[attr-defined]  # a tensor that loading puts in its place lacks this
            self._owner(name).register_buffer(name.rpartition(".")[2], start)

    def _owner(self, name: str) -> nn.Module:
        """The module that holds a stored tensor, which is called as in published checkpoints (`pos_emb.sin_coef`)."""
        owner: nn.Module = self
        for part in name.split(".")[:-1]:
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = getattr(owner, part)
        return owner

    def stored_tensors(self) -> dict[str, Tensor]:
        """The position embedding's own tensors of this layer, float32."""
        return {name: getattr(self._owner(name), name.rpartition(".")[2]) for name in self.stored_names}

    def start_absent(self) -> None:
        """Give stored tensors that are neither a new model's nor loaded the values that a new model starts with."""
        set_already = ("_is_start", "_is_hf_initialized")
        held = self.stored_tensors().items()
        absent = {name: tensor for name, tensor in held if not any(getattr(tensor, mark, False) for mark in set_already)}
        if absent:  # a new model draws no second time
            with torch.device("cpu"):
                start = self.position.stored(self.heads, self.head_dim)
            for name, tensor in absent.items():
                tensor.copy_(start[name])

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move stored tensors with the module, but never round them: `.half()` must leave positions exact."""
        exact = self.stored_tensors()
        super()._apply(fn, recurse)
        for name, tensor in exact.items():
            owner, leaf = self._owner(name), name.rpartition(".")[2]
            moved = getattr(owner, leaf)
            if moved.dtype != tensor.dtype:
                setattr(owner, leaf, tensor.to(moved.device))
        return self

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, ...] = (),
        attention_mask: Any = None,
        past_key_values: Any = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_states [B, T, hidden] as attention output of that shape, and the weights where the kernel gives them.

        What is kept of earlier tokens comes as `past_key_values`, from transformers 5.24 on as `cache`.
        """
        past_key_values = past_key_values if cache is None else cache
        input_shape = hidden_states.shape[:-1]
        query, key = self.encoded(hidden_states, position_embeddings, kwargs.get("position_ids"))  # diff with Llama
        value = self.v_proj(hidden_states).view(*input_shape, -1, self.head_dim).transpose(1, 2)
        kwargs["dropout"] = self.attention_dropout if self.training else 0.0
        kwargs["scaling"] = self.scaling
        past_tokens: int | Tensor = 0
        if past_key_values is not None:
            if self.position.biased:
                past_tokens = _own_copy(past_key_values.get_seq_length(self.layer_idx))
            key, value = past_key_values.update(key, value, self.layer_idx)
        if self.position.biased:
            output, weights = attend_biased(self, query, key, value, attention_mask, past_tokens, **kwargs)
        else:
            output, weights = attend(self, query, key, value, attention_mask, **kwargs)
        return self.o_proj(output.reshape(*input_shape, -1)), weights

    def encoded(
        self, hidden_states: Tensor, position_embeddings: tuple[Tensor, ...], position_ids: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Queries [B, H, T, D] and keys [B, K, T, D] of hidden_states [B, T, hidden], as they meet in attention."""
        by_head = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(by_head).transpose(1, 2)
        key = self.k_proj(hidden_states).view(by_head).transpose(1, 2)
        query, key = self.position.encode(query, key, position_embeddings, self.stored_tensors())
        if self.config.noise_std:
            assert position_ids is not None
            query = self._with_noise(query, position_ids)
        return query, key

    def _with_noise(self, query: Tensor, position_ids: Tensor) -> Tensor:
        """Encoded queries [B, H, T, D] with the config's Gaussian noise on the heads of its target role."""
        config = self.config
        noise = gaussian_noise(position_ids, query.shape[1], self.head_dim, config.noise_seed, self.layer_idx)
        deviations = [config.noise_std * (config.noise_target in ("both", role)) for role in self.head_roles]
        scale = torch.tensor(deviations, dtype=torch.float32, device=query.device).view(1, -1, 1, 1)
        return (query + scale * noise).to(query.dtype)


def _own_copy(tokens: int | Tensor) -> int | Tensor:
    """A static cache counts its tokens in a tensor that the next update changes in place."""
    return tokens.clone() if isinstance(tokens, Tensor) else tokens


class RopePPDecoderLayer(LlamaDecoderLayer):
    """Llama's layer around our attention."""

    def __init__(self, config: RopePPConfig, layer_idx: int) -> None:
        super(LlamaDecoderLayer, self).__init__()
        self.hidden_size = config.hidden_size
        self.self_attn = RopePPAttention(config, layer_idx)  # diff with Llama
        self.mlp = LlamaMLP(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class RopePPPreTrainedModel(LlamaPreTrainedModel):
    """What loading, saving and recording outputs need to know."""

    config: RopePPConfig
    config_class = RopePPConfig
    _no_split_modules = ["RopePPDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {"hidden_states": RopePPDecoderLayer, "attentions": RopePPAttention}  # noqa: RUF012

    def post_init(self) -> None:
        # loading in bfloat16 must not round what the position embedding stores
        self._keep_in_fp32_modules_strict = set(self.config.stored_names)
        super().post_init()

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Also what a position embedding stores: loading leaves as raw memory what the checkpoint lacks.

        Not in `_init_weights`, which transformers calls for no module without tensors of its own, such as FoPE's attention.
        """
        super().initialize_weights()
        for module in self.modules():
            if isinstance(module, RopePPAttention):
                module.start_absent()


class RopePPModel(RopePPPreTrainedModel, LlamaModel):
    """Llama's decoder with our layers and position tables."""

    def __init__(self, config: RopePPConfig) -> None:
        super(LlamaModel, self).__init__(config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        layers = (RopePPDecoderLayer(config, index) for index in range(config.num_hidden_layers))  # diff with Llama
        self.layers = nn.ModuleList(layers)
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = PositionTables(config)  # diff with Llama
        self.gradient_checkpointing = False
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As LlamaModel's, but without `position_ids` a padded row counts from its first real token.

        Llama counts padding too, which rotary scores do not notice; embeddings that are not shift-invariant do.
        """
        new = input_ids if input_ids is not None else kwargs.get("inputs_embeds")
        if position_ids is None and new is not None:
            kept = kwargs.get("past_key_values") if kwargs.get("cache") is None else kwargs["cache"]
            position_ids = positions_of_mask(attention_mask, new.shape[1], kept)
        if self.config._attn_implementation == "eager":
            attention_mask = as_numbers(attention_mask, self.dtype)
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, **kwargs)


class RopePPForCausalLM(RopePPPreTrainedModel, LlamaForCausalLM):
    """Llama's language model over `RopePPModel`."""

    def __init__(self, config: RopePPConfig) -> None:
        super(LlamaForCausalLM, self).__init__(config)
        self.model = RopePPModel(config)  # diff with Llama
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
