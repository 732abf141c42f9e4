"""Attention weights in blocks from queries and keys, and what they say of a head; never a map of all tokens by all tokens.

H attention heads, K key/value heads, Q queries, L keys, B queries of a block, D head size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_TOKENS = 4
"""What counts as the beginning: where heads rest that look for nothing (arXiv 2309.17453)."""
LAST_TOKENS = 128
"""Keys at a query and before it that count as near."""
BLOCK_ENTRIES = 1 << 23
"""Weights [H, B, L] that are held at once: 32 MiB in float32, and as much again while they are made."""
Bias = Callable[[Tensor], Tensor | None]


def weight_blocks(
    query: Tensor, key: Tensor, first: int, scaling: float, bias: Bias = lambda _: None, entries: int = BLOCK_ENTRIES
) -> Iterator[tuple[int, Tensor]]:
    """(number of the block's first query, float32 weights [H, B, L']) of causal attention; L' keys reach to the block's last query.

    Args:
        query: [H, Q, D], encoded, of the tokens `first`, `first + 1`, ...
        key: [K, L, D], encoded, of the tokens 0 to L - 1; H is a multiple of K, and neighbours share.
        first: place of the first query.
        scaling: what products are multiplied with.
        bias: distance [B, L'] -> float32 [H, B, L'] that is added, or None.
    """
    heads, queries, size = query.shape
    begin = 0
    while begin < queries:
        before, room = first + begin, entries / heads
        rows = max(
            1, min(queries - begin, int((math.sqrt(before**2 + 4 * room) - before) / 2))
        )  # rows * (before + rows) <= room
        reach = first + begin + rows
        block = query[:, begin : begin + rows].float().reshape(key.shape[0], -1, size)
        scores = (block @ key[:, :reach].float().transpose(1, 2)).view(heads, rows, reach).mul_(scaling)
        own = torch.arange(first + begin, reach, device=key.device)
        distance = own[:, None] - torch.arange(reach, device=key.device)
        added = bias(distance.clamp(min=0))
        if added is not None:
            scores += added
        yield begin, torch.softmax(scores.masked_fill_(distance < 0, -torch.inf), dim=-1)
        begin += rows


@dataclass(frozen=True)
class HeadStatistics:
    """Float64 [H, Q] each: of every head and query."""

    needle: Tensor
    """Weight on the needle's tokens."""
    first: Tensor
    """Weight on the first tokens of the text."""
    last: Tensor
    """Weight on the last tokens, the query's own among them."""
    distance: Tensor
    """Mean distance, in tokens."""
    entropy: Tensor
    """In nats."""
    top: Tensor
    """int64: the key with the most weight."""


STATISTICS = ("needle", "first", "last", "distance", "entropy")


def head_statistics(
    query: Tensor, key: Tensor, first: int, scaling: float, needle: Tensor, bias: Bias = lambda _: None
) -> HeadStatistics:
    """What heads look at, of queries [H, Q, D] at `first` and keys [K, L, D]; `needle` is bool [L]."""
    found: list[tuple[Tensor, ...]] = []
    for begin, weights in weight_blocks(query, key, first, scaling, bias):
        rows, reach = weights.shape[1:]
        own = torch.arange(first + begin, first + begin + rows, device=key.device)
        places = torch.arange(reach, device=key.device)
        distance = own[:, None] - places
        near = (distance < LAST_TOKENS) & (distance >= 0)
        found.append(
            (
                (weights * needle[:reach]).sum(-1),
                weights[..., :FIRST_TOKENS].sum(-1),
                (weights * near).sum(-1),
                (weights * distance).sum(-1),
                torch.special.entr(weights).sum(-1),
                weights.argmax(-1),
            )
        )
    *numbers, top = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    needle_weight, first_weight, last_weight, distances, entropy = (part.double() for part in numbers)
    return HeadStatistics(needle_weight, first_weight, last_weight, distances, entropy, top)


class BlockMap:
    """Means and maxima of the weights of some heads over a grid of blocks of tokens."""

    def __init__(self, heads: int, tokens: int, blocks: int) -> None:
        self.size = -(-tokens // blocks)
        """Tokens of a block."""
        self.blocks = -(-tokens // self.size)
        self._tokens = tokens
        self._sums = torch.zeros(heads, self.blocks, self.blocks, dtype=torch.float64)
        self._most = torch.zeros(heads, self.blocks, self.blocks)

    def add(self, weights: Tensor, first: int) -> None:
        """Count weights [heads, B, L'] of queries that begin at `first`."""
        heads, rows, reach = weights.shape
        padded = torch.nn.functional.pad(weights, (0, self.blocks * self.size - reach)).view(
            heads, rows, self.blocks, self.size
        )
        own = torch.arange(first, first + rows) // self.size
        self._sums.index_add_(1, own, padded.sum(-1).double().cpu())
        most = padded.amax(-1).cpu()
        for block in range(int(own[0]), int(own[-1]) + 1):
            self._most[:, block] = torch.maximum(self._most[:, block], most[:, own == block].amax(1))

    def means(self) -> Tensor:
        """float64 [heads, blocks, blocks]: mean weight of the pairs that causality allows; 0 where it allows none."""
        begins = torch.arange(self.blocks) * self.size
        ends = (begins + self.size).clamp(max=self._tokens)
        queries = torch.arange(self._tokens)
        keys = (
            (queries[:, None] + 1 - begins).clamp(min=0).minimum(ends - begins)
        )  # [T, blocks]: keys of a block that a query sees
        pairs = torch.zeros(self.blocks, self.blocks).index_add_(0, queries // self.size, keys.float())
        return self._sums / pairs.clamp(min=1)

    @property
    def most(self) -> Tensor:
        """float32 [heads, blocks, blocks]: the largest weight of each block."""
        return self._most
