"""Attention kernels: transformers' own where scores get no bias, and exact biased attention on each of them.

B batch, H attention heads, K key/value heads, Q new tokens, L cached and new tokens, D head size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Position

BLOCK_QUERIES = 512
"""Queries that meet their bias at once; more saves calls, fewer saves memory and the upper half of the last block."""
Attended = tuple[Tensor, Tensor | None]


def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Attended:
    """Attention without a bias by the config's kernel; [B, Q, H, D], and the weights where the kernel has them."""
    kernel = module.config._attn_implementation
    if kernel == "sdpa" and query.device.type == "cpu" and (isinstance(mask, Tensor) or query.shape[2] == 1):
        # transformers expands the keys when there is a mask; the CPU kernel takes grouped queries all the same
        output = _sdpa_of_groups(query, key, value, mask, **kwargs)
        return output.transpose(1, 2).contiguous(), None
    function = ALL_ATTENTION_FUNCTIONS.get_interface(kernel, eager_attention_forward)
    result: Attended = function(module, query, key, value, mask, **kwargs)
    return result


def _sdpa_of_groups(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, dropout: float, scaling: float, **_: Any
) -> Tensor:
    """torch's kernel for queries [B, H, Q, D] whose heads share key/value heads [B, K, L, D]; mask [B or 1, H or 1, Q, L].

    On the CPU it reads the cache once for each head and block of queries. So the heads that share one are given to it as if they were the
    sequence of a single query: two to three times quicker for four heads at 16k tokens (benchmarks/decode.py).
    """
    batch, heads, queries, size = query.shape
    shared = key.shape[1]
    if queries > 1 or heads == shared:
        grouped = heads != shared
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
    if mask is not None and mask.shape[1] == heads:
        mask = mask.reshape(mask.shape[0], shared, heads // shared, -1)
    as_sequence = query.reshape(batch, shared, heads // shared, size)
    output = scaled_dot_product_attention(as_sequence, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return output.reshape(batch, heads, 1, size)


def attend_biased(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, past_tokens: int | Tensor, **kwargs: Any
) -> Attended:
    """Attention with the bias of the module's position embedding; `past_tokens` were in the cache before these queries.

    Raises:
        UserError: the config names a kernel that can't take a bias.
    """
    kernel = module.config._attn_implementation
    check_kernel(kernel, module.position)
    return _BIASED[kernel](module, query, key, value, mask, past_tokens, **kwargs)


def check_kernel(kernel: str, position: Position) -> None:
    """Raise UserError where a kernel can't add the bias of a position embedding."""
    if position.biased and kernel not in _BIASED:
        raise UserError(
            f"attention {kernel!r} can't add the bias of position {position.name!r}; it works with {', '.join(_BIASED)}"
        )
    if position.biased and kernel == "flash_attention_2" and not position.linear_bias:
        raise UserError(f"flash_attention_2 takes only linear biases, not that of {position.name!r}; use sdpa")


def _bias(module: Any, distance: Tensor) -> Tensor:
    bias: Tensor = module.position.bias_of(distance, module.stored_tensors(), module.heads)
    return bias


def _distances(past_tokens: int | Tensor, first: int, queries: int, key: Tensor, attended: Tensor | None) -> Tensor:
    """[B or 1, queries, L]: how far back each key lies from queries first, first + 1, ...; 0 for later keys.

    A query's own place in the cache follows from the tokens before it. A single query's follows from `attended`
    [B, 1, 1, L]: its own key is the last it sees, also where rows of a batch have filled a buffer to different lengths.
    """
    places = torch.arange(key.shape[2], device=key.device)
    if queries == 1 and attended is not None:
        own = (attended[:, 0] * places).amax(dim=-1)
    else:
        own = (torch.arange(first, first + queries, device=key.device) + past_tokens)[None]
    return (own[:, :, None] - places).clamp(min=0)


def _eager(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, past_tokens: int | Tensor, **kwargs: Any
) -> Attended:
    distance = _distances(past_tokens, 0, query.shape[2], key, _seen(mask))
    bias = _bias(module, distance).movedim(0, 1)
    result: Attended = eager_attention_forward(module, query, key, value, bias + mask, **kwargs)
    return result


def _sdpa(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, past_tokens: int | Tensor, **kwargs: Any
) -> Attended:
    blocks = _blocks_of_view(module, query, key) if mask is None else _blocks_of_mask(module, query, key, mask, past_tokens)
    dtype, single = query.dtype, query.device.type == "cpu"
    if not single:  # GPU kernels want the bias in the queries' dtype, and bfloat16 can't hold distances exactly
        query, key, value = query.float(), key.float(), value.float()
        key, value = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (key, value))
    output = torch.empty_like(query)
    for first, last, keys, bias in blocks:
        block = query[:, :, first:last].flip(2) if mask is None else query[:, :, first:last]
        attended = _sdpa_of_groups(block, key[:, :, :keys], value[:, :, :keys], bias, **kwargs)
        output[:, :, first:last] = attended.flip(2) if mask is None else attended
    return output.to(dtype).transpose(1, 2).contiguous(), None


def _blocks_of_view(module: Any, query: Tensor, key: Tensor) -> list[tuple[int, int, int, Tensor]]:
    """(first query, last query, keys, bias) of each block where nothing is masked but the future.

    Queries of a block are taken backwards, so that distance falls by one to the right and downwards: every block's bias is
    then the same short row [H, L + block] seen through strides, and nothing of size Q times L is ever built.
    """
    queries = query.shape[2]
    keys = key.shape[2] if queries == 1 else queries  # without a mask: one new token, or a prompt into an empty cache
    size = min(BLOCK_QUERIES, queries)
    distance = torch.arange(keys - 1, -size, -1, device=query.device)
    row = _bias(module, distance.clamp(min=0)).masked_fill(distance < 0, -torch.inf)
    blocks = []
    for first in range(0, queries, size):
        last = min(first + size, queries)
        reach = last if queries > 1 else keys
        view = row.as_strided((1, row.shape[0], last - first, reach), (0, row.stride(0), 1, 1), keys - reach)
        blocks.append((first, last, reach, view))
    return blocks


def _blocks_of_mask(module: Any, query: Tensor, key: Tensor, mask: Tensor, past_tokens: int | Tensor) -> Any:
    """As `_blocks_of_view`, for any mask [B, 1, Q, L], with each block's bias built when it is needed."""
    queries, keys = query.shape[2], key.shape[2]
    for first in range(0, queries, BLOCK_QUERIES):
        last = min(first + BLOCK_QUERIES, queries)
        given = mask[:, :, first:last]
        seen = _seen(given)
        bias = _bias(module, _distances(past_tokens, first, last - first, key, seen)).movedim(0, 1)
        if given.dtype != torch.bool:
            bias = bias + given
        # not -inf: a padded query that may see nothing would become NaN
        yield first, last, keys, torch.where(seen, bias, -1e30)


def _seen(mask: Tensor) -> Tensor:
    """Which keys a mask lets through: it is bool (true: attend), or numbers to add, where people write -10,000 and less for no."""
    return mask if mask.dtype == torch.bool else mask > -1e4


def _flex(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, past_tokens: int | Tensor, **kwargs: Any
) -> Attended:
    from transformers.integrations.flex_attention import compile_friendly_flex_attention

    by_distance = _bias(module, torch.arange(key.shape[2], device=query.device))
    past = torch.as_tensor(past_tokens, device=query.device)

    def add_bias(score: Tensor, batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return score + by_distance[head, (q + past - k).clamp(min=0)]

    grouped = query.shape[1] & (query.shape[1] - 1) == 0  # the kernel groups only powers of two
    if not grouped:
        key, value = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (key, value))
    output = compile_friendly_flex_attention(
        query, key, value, score_mod=add_bias, block_mask=mask, enable_gqa=grouped, scale=kwargs["scaling"],
        training=module.training,
    )  # fmt: skip
    return output.transpose(1, 2).contiguous(), None


def _flash(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, past_tokens: int | Tensor, **kwargs: Any
) -> Attended:
    """flash-attn's own slopes. It lines up the last query with the last key, so padded rows go one by one, unpadded."""
    from flash_attn import flash_attn_func

    slopes = -_bias(module, torch.ones((), device=query.device)).contiguous()
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    arguments = {"dropout_p": kwargs["dropout"], "softmax_scale": kwargs["scaling"], "causal": True, "alibi_slopes": slopes}
    if mask is None:
        return flash_attn_func(query, key, value, **arguments), None
    output = torch.zeros_like(query)
    for row, attended in enumerate(mask.bool()):
        own = attended[-query.shape[1] :]
        output[row, own] = flash_attn_func(
            query[row, own][None], key[row, attended][None], value[row, attended][None], **arguments
        )[0]
    return output, None


_BIASED: dict[str, Callable[..., Attended]] = {
    "eager": _eager,
    "sdpa": _sdpa,
    "flex_attention": _flex,
    "flash_attention_2": _flash,
}
