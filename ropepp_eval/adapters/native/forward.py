"""Running the model: hidden states with right positions, long inputs in chunks, several branches on one trunk.

T tokens of a call, B rows, P tokens already in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropepp_eval.adapters.native import few_rows
from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView, StackView
from ropepp_eval.adapters.native.head import Head
from ropepp_eval.adapters.windows import Ids
from ropepp_eval.checkpoints.families import MASK_BY_TYPE, SHARING
from ropepp_eval.forecasts.limits import chunk_of


class Forward:
    """A causal language model of ours, or one of transformers' own whose sharing is known (`families.SHARING`)."""

    whole = False
    """Whether texts can only be read whole, from their beginning, without a cache."""

    def __init__(self, model: Any, chunk_tokens: int, windows: Sequence[int] = ()) -> None:
        few_rows.prepare(model)
        self.model = model
        self.decoder = model.base_model
        self.head = Head(model)
        self.layers = int(model.config.num_hidden_layers)
        self.device = next(model.parameters()).device
        self.chunk_tokens = chunk_tokens
        """Tokens that enter the model at once with a cache: bounds the mask [T, P + T] and the activations."""
        self.windows = tuple(windows)
        """Windows of layers that have one, in tokens."""
        self.packs = takes_packed_branches(model)

    def tensor(self, rows: Sequence[Ids]) -> Tensor:
        """Ids [B, T] on the device; shorter rows are filled on the right, where nothing before them looks, with their last id.

        What is hidden is still multiplied by zero, so another id whose embedding is NaN would spoil the row.
        """
        longest = max(map(len, rows))
        padded = np.zeros((len(rows), longest), dtype=np.int64)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
            padded[number, len(row) :] = row[-1] if len(row) else 0
        return torch.from_numpy(padded).to(self.device)

    def hidden(self, ids: Tensor, *, cache: Any = None, positions: Tensor | None = None, mask: Any = None) -> Tensor:
        """Final hidden states [B, T, hidden] of ids [B, T]; positions [B or 1, T] follow the cache unless given."""
        if positions is None:
            past = 0 if cache is None else cache.length
            positions = torch.arange(past, past + ids.shape[1], device=ids.device)[None]
        out = self.decoder(
            input_ids=ids, position_ids=positions, past_key_values=cache, attention_mask=mask, use_cache=cache is not None
        )
        hidden: Tensor = out.last_hidden_state
        return hidden

    def extend(self, view: StackView, ids: Ids, *, keep: int = 0) -> Tensor | None:
        """Run `ids` behind a view of one row, in chunks; the view counts them afterwards.

        Returns:
            Hidden states [keep, hidden] of the last `keep` ids; None for 0.
        """
        if not len(ids):
            return None
        chunk = chunk_of(len(ids), view.length + len(ids), self.chunk_tokens, self.device.type, bool(self.windows))
        kept = []
        for begin in range(0, len(ids), chunk):
            part = ids[begin : begin + chunk]
            hidden = self.hidden(self.tensor([part]), cache=view)[0]
            view.advance(len(part))
            wanted = begin + len(part) - (len(ids) - keep)
            if wanted > 0:
                kept.append(hidden[-min(wanted, len(part)) :])
        return torch.cat(kept) if kept else None

    def branches(self, view: StackView, branches: Sequence[Ids]) -> list[Tensor]:
        """Hidden states [len, hidden] of several branches, each as if it alone followed the view, which stays as it is."""
        ids = np.concatenate(branches)
        mask, positions = branch_mask([len(b) for b in branches], view.length, view.length, self.device)
        places = torch.cat([torch.arange(view.length, device=self.device), positions])
        given = self.as_given(mask[None, None], (positions[:, None] - places)[None, None])
        hidden = self.hidden(self.tensor([ids]), cache=view, positions=positions[None], mask=given)[0]
        return list(torch.split(hidden, [len(b) for b in branches]))

    def packed(self, rows: Sequence[tuple[Ids, Sequence[Ids]]]) -> list[list[Tensor]]:
        """Rows of (trunk, branches) in one call without a cache; hidden states of each branch."""
        flat = [np.concatenate([trunk, *branches]) for trunk, branches in rows]
        ids = self.tensor(flat)
        mask = torch.eye(ids.shape[1], dtype=torch.bool, device=self.device).repeat(len(rows), 1, 1, 1)
        positions = torch.arange(ids.shape[1], device=self.device).repeat(len(rows), 1)
        for number, (trunk, branches) in enumerate(rows):
            own, places = trunk_and_branch_mask(len(trunk), [len(b) for b in branches], self.device)
            mask[number, 0, : len(places), : len(places)] = own
            positions[number, : len(places)] = places
        distance = positions[:, None, :, None] - positions[:, None, None, :]
        hidden = self.hidden(ids, positions=positions, mask=self.as_given(mask, distance))
        return [
            list(torch.split(hidden[number, len(trunk) : len(flat[number])], [len(b) for b in branches]))
            for number, (trunk, branches) in enumerate(rows)
        ]

    def as_given(self, mask: Tensor, distance: Tensor) -> Any:
        """A mask as the model takes it: with its window, for each kind of layers where they differ.

        Args:
            mask: bool [B, 1, Q, K], which keys a query may see.
            distance: int64 [B, 1, Q, K], how many positions a key lies before a query.
        """
        if not self.windows:
            return self._for_kernel(mask)
        inside = self._for_kernel(mask & (distance < min(self.windows)))
        if SHARING.get(self.model.config.model_type) != MASK_BY_TYPE:
            return inside
        return {"full_attention": self._for_kernel(mask), "sliding_attention": inside}

    def _for_kernel(self, mask: Tensor) -> Tensor:
        """A bool mask as the attention kernel takes it: sdpa as it is, eager as numbers to add."""
        if self.model.config._attn_implementation != "eager":
            return mask
        dtype = self.model.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

    def step(self, ids: Tensor, view: RaggedView) -> Tensor:
        """Hidden states [B, hidden] of one more token for each row of the view, ids [B]; the view counts them afterwards."""
        mask: Any = view.mask()
        if mask is not None and self.model.config._attn_implementation in ("sdpa", "eager"):
            distance = view.lengths[:, None] - torch.arange(mask.shape[1], device=self.device)
            mask = self.as_given(mask[:, None, None], distance[:, None, None])  # others make their own from [B, L]
        hidden = self.hidden(ids[:, None], cache=view, positions=view.lengths[:, None], mask=mask)[:, -1]
        view.advance()
        return hidden

    def new_store(self, rows: int, capacity: int) -> KeyValueStore:
        """An empty store for this model."""
        return KeyValueStore(self.layers, rows, capacity)


def branch_mask(lengths: Sequence[int], past: int, position: int, device: Any) -> tuple[Tensor, Tensor]:
    """Mask bool [S, past + S] and positions [S] of branches laid out one after another behind `past` tokens they all see."""
    total = sum(lengths)
    number = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    order = torch.arange(total, device=device)
    own = (number[:, None] == number[None, :]) & (order[:, None] >= order[None, :])
    seen = torch.ones(total, past, dtype=torch.bool, device=device)
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0).to(device)
    return torch.cat([seen, own], dim=1), order - starts[number] + position


def trunk_and_branch_mask(trunk: int, lengths: Sequence[int], device: Any) -> tuple[Tensor, Tensor]:
    """Mask bool [trunk + S, trunk + S] and positions of a trunk followed by its branches."""
    branch, positions = branch_mask(lengths, trunk, trunk, device)
    own = torch.ones(trunk, trunk, dtype=torch.bool, device=device).tril()
    above = torch.cat([own, torch.zeros(trunk, sum(lengths), dtype=torch.bool, device=device)], dim=1)
    return torch.cat([above, branch]), torch.cat([torch.arange(trunk, device=device), positions])


def takes_packed_branches(model: Any) -> bool:
    """Whether several branches may stand side by side in one call, told apart by mask and positions.

    That needs a kernel that takes any mask, and an embedding that knows positions only by their numbers: a bias by distance
    in the row, such as ALiBi's, would see the branches at wrong distances.
    """
    config = model.config
    if config._attn_implementation not in ("sdpa", "eager"):
        return False
    if config.model_type in SHARING:
        return True
    embedding = getattr(config, "position_embedding", None)
    if embedding is None:
        return False
    from ropepp_eval.positions.base import Position

    return isinstance(embedding, Position) and not embedding.biased
