"""A Llama with any position embedding in vLLM, as the difference from vLLM's Llama.

vLLM's layout is flat: T tokens of all running requests in a row, [T, heads * D]; D head size, H attention heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import QKVParallelLinear, RowParallelLinear
from vllm.model_executor.models.llama import LlamaAttention, LlamaDecoderLayer, LlamaForCausalLM

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Heads, Position


class PositionTables(nn.Module):
    """What the position embedding needs for every position up to the longest, float32, computed once as the native model does."""

    def __init__(self, position: Position, head_dim: int, length_tokens: int) -> None:
        super().__init__()
        frequencies = torch.tensor(position.frequencies(head_dim).tolist(), dtype=torch.float32)
        tables = position.tables(torch.arange(length_tokens)[None], frequencies)
        self.names = [f"table_{number}" for number in range(len(tables))]
        for name, table in zip(self.names, tables, strict=True):
            self.register_buffer(name, table[0].contiguous(), persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, ...]:
        """Tables [1, T, ...] for positions [T]."""
        return tuple(getattr(self, name)[positions][None] for name in self.names)


class PositionEncoder(nn.Module):
    """Stands where vLLM's Llama has its rotary embedding, and gives attention as many query heads as the embedding wants."""

    def __init__(self, position: Position, head_dim: int) -> None:
        super().__init__()
        self.position = position
        self.head_dim = head_dim
        self.tables: PositionTables | None = None
        """Shared by all layers; set by the model."""
        self.stored: dict[str, Tensor] = {}
        """The layer's own tensors that the checkpoint holds; set by attention."""

    def forward(self, positions: Tensor, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """query [T, query heads * D] and key [T, K * D] as [T, H * D] and [T, K * D]."""
        assert self.tables is not None
        query, key = self.position.encode(self._by_head(query), self._by_head(key), self.tables(positions), self.stored)
        return self._flat(query), self._flat(key)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, self.head_dim).transpose(0, 1)[None]

    def _flat(self, x: Tensor) -> Tensor:
        return x[0].transpose(0, 1).flatten(1)


class RopePPAttention(LlamaAttention):  # type: ignore[misc]
    """Llama's attention with the head counts, encoding and bias of a position embedding; its forward pass is Llama's."""

    def __init__(
        self,
        config: Any,
        hidden_size: int,
        num_heads: int,
        num_kv_heads: int,
        max_position_embeddings: int = 8192,
        quant_config: Any = None,
        bias: bool = False,
        bias_o_proj: bool = False,
        cache_config: Any = None,
        prefix: str = "",
        attn_type: str = "decoder",
    ) -> None:
        nn.Module.__init__(self)  # diff with Llama: its constructor would register an attention layer of the wrong shape
        heads = config.heads
        self.position: Position = config.position_embedding
        self.heads, self.local = heads, local_heads(heads)
        self.head_dim = config.head_dim
        self.q_size = self.local.query * self.head_dim
        self.kv_size = self.local.key_value * self.head_dim
        self.qkv_proj = QKVParallelLinear(
            hidden_size,
            self.head_dim,
            heads.query,
            heads.key_value,
            bias=bias,
            quant_config=quant_config,
            prefix=f"{prefix}.qkv_proj",
        )
        self.o_proj = RowParallelLinear(
            heads.attention * self.head_dim,
            hidden_size,
            bias=bias_o_proj,
            quant_config=quant_config,
            prefix=f"{prefix}.o_proj",
        )
        self.rotary_emb = PositionEncoder(self.position, self.head_dim)
        self._add_stored(heads)
        self.rotary_emb.stored = self._stored()
        slopes = self._slopes()
        self.attn = Attention(
            self.local.attention,
            self.head_dim,
            self.head_dim**-0.5,
            num_kv_heads=self.local.key_value,
            alibi_slopes=None if slopes is None else slopes.tolist(),
            cache_config=cache_config,
            quant_config=quant_config,
            attn_type=attn_type,
            prefix=f"{prefix}.attn",
        )

    def _add_stored(self, heads: Heads) -> None:
        """Parameters for the tensors that the checkpoint holds beside the projections; float32 whatever the model's dtype."""
        self.stored_names = []
        for name, start in self.position.stored(heads, self.head_dim).items():
            shard = shard_of(start.shape, heads)
            kept = start[shard].to(torch.get_default_device(), torch.float32)
            parameter = nn.Parameter(kept, requires_grad=False)
            parameter.weight_loader = partial(_load_shard, shard)  # type: ignore[attr-defined]
            holder: nn.Module = self
            *path, leaf = name.split(".")
            for part in path:
                if part not in holder._modules:
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            holder.register_parameter(leaf, parameter)
            self.stored_names.append(name)

    def _stored(self) -> dict[str, Tensor]:
        return {name: self.get_parameter(name).data for name in self.stored_names}

    def _slopes(self) -> Tensor | None:
        """float32 [local H] on the CPU: how much the scaled score loses with each token of distance. None: no bias."""
        if not self.position.biased:
            return None
        if not self.position.linear_bias:
            raise UserError(
                f"position {self.position.name}: vLLM takes no bias but a slope times the distance; use --backend native"
            )
        stored = {name: tensor.float().cpu() for name, tensor in self._stored().items()}
        if stored:  # its own heads' part of the stored tensors
            return -self.position.bias_of(torch.tensor(1.0, device="cpu"), stored, self.local)
        with torch.device("cpu"):
            slopes = -self.position.bias_of(torch.tensor(1.0), {}, self.heads)
        return slopes[shard_of(slopes.shape, self.heads)]

    def use_loaded(self) -> None:
        """Hand the loaded tensors to the encoder and, as slopes, to the attention kernel, which was built before they were read."""
        self.rotary_emb.stored = self._stored()
        slopes = self._slopes()
        if slopes is None:
            return
        held = getattr(self.attn.impl, "alibi_slopes", None)
        if not isinstance(held, Tensor) or held.shape != slopes.shape:
            raise UserError(
                f"{type(self.attn.impl).__name__} keeps no ALiBi slopes that can be set; choose another attention backend"
            )
        held.copy_(slopes)


class RopePPDecoderLayer(LlamaDecoderLayer):  # type: ignore[misc]
    """Llama's layer around our attention."""

    def __init__(self, vllm_config: Any, prefix: str = "", config: Any = None) -> None:
        super().__init__(vllm_config, prefix=prefix, config=config, attn_layer_type=RopePPAttention)  # diff with Llama


class RopePPForCausalLM(LlamaForCausalLM):  # type: ignore[misc]
    """Llama's language model over our layers. Loads the authors' weights and ours: their tensors have the same names."""

    def __init__(self, *, vllm_config: Any, prefix: str = "", layer_type: type[nn.Module] = RopePPDecoderLayer) -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix, layer_type=layer_type)  # diff with Llama
        config = vllm_config.model_config.hf_config
        tables = PositionTables(config.position_embedding, config.head_dim, vllm_config.model_config.max_model_len)
        for attention in self._attentions():
            attention.rotary_emb.tables = tables

    def _attentions(self) -> list[RopePPAttention]:
        return [module for module in self.modules() if isinstance(module, RopePPAttention)]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Names of the loaded parameters."""
        loaded: set[str] = super().load_weights(weights)
        for attention in self._attentions():
            attention.use_loaded()
        return loaded


def local_heads(heads: Heads) -> Heads:
    """The heads of one tensor-parallel process.

    Raises:
        ValueError: the processes can't share the key/value heads evenly.
    """
    processes = get_tensor_model_parallel_world_size()
    if heads.key_value % processes:
        raise ValueError(f"tensor_parallel_size {processes} does not divide the {heads.key_value} key/value heads")
    return Heads(heads.query // processes, heads.key_value // processes, heads.attention // processes)


def shard_of(shape: Sequence[int], heads: Heads) -> slice:
    """The rows of a stored tensor that this process's heads need: those of its heads where it has one row a head, else all."""
    if not shape or shape[0] not in (heads.key_value, heads.attention):
        return slice(None)
    rows = shape[0] // get_tensor_model_parallel_world_size()
    first = get_tensor_model_parallel_rank() * rows
    return slice(first, first + rows)


def _load_shard(shard: slice, parameter: Tensor, loaded: Tensor) -> None:
    parameter.data.copy_(loaded[shard])
