"""Keys and values in buffers allocated once: rows share a store, going back is free, and nothing is copied to grow.

transformers' DynamicCache concatenates at each step (a copy of the whole cache a token) and its crop leaves the next step
to copy again. Here a step writes into its place, and a view is what attention reads.
K key/value heads, D head size.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class KeyValueStore:
    """Buffers [rows, K, capacity, D] of keys and values for each layer, made at the first write."""

    def __init__(self, layers: int, rows: int, capacity: int) -> None:
        self.rows = rows
        self.capacity = capacity
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    def buffers(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The two buffers of a layer, made to fit `key` and `value` [any, K, any, D]."""
        return self._buffer(self.keys, layer, key), self._buffer(self.values, layer, value)

    def _buffer(self, buffers: list[Tensor | None], layer: int, states: Tensor) -> Tensor:
        """One of the buffers; the first write makes those of all layers, side by side.

        Made one by one they would stand between what a pass holds for a moment, and the gaps could not be given back: some hundred
        MiB at 4,096 tokens. They begin as zeros: what is masked out is still multiplied by zero, and NaN times zero is NaN.
        """
        shape = (self.rows, states.shape[1], self.capacity, states.shape[3])
        buffer = buffers[layer]
        if buffer is None:
            buffers[:] = [states.new_zeros(shape) for _ in buffers]
        elif buffer.shape != shape:  # a layer unlike the first
            buffers[layer] = states.new_zeros(shape)
        made = buffers[layer]
        assert made is not None
        return made

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of row `source` to row `target`, and clear what stands behind them there."""
        for buffer in (*self.keys, *self.values):
            if buffer is not None:
                buffer[target, :, :tokens] = buffer[source, :, :tokens]
        self.clear(target, tokens)

    def clear(self, row: int, tokens: int) -> None:
        """Make zeros of what stands in a row behind its first `tokens`: an earlier row may have left NaN there."""
        for buffer in (*self.keys, *self.values):
            if buffer is not None:
                buffer[row, :, tokens:] = 0


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """A layer's part of a view; `update` is what differs."""

    is_croppable = True

    def __init__(self, view: Any, number: int) -> None:
        super().__init__()
        self.view = weakref.proxy(view)
        """Weak, since the view holds its layers: in a circle a store would live on until Python looks for circles."""
        self.number = number

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the store makes its buffers."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.view.store.buffers(self.number, key_states, value_states)
        return self.view.write(keys, key_states), self.view.write(values, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.view.length + query_length, 0

    def get_seq_length(self) -> int:
        length: int = self.view.length
        return length

    def get_max_length(self) -> int:
        length: int = self.view.store.capacity
        return length


class StackView(Cache):  # type: ignore[misc]
    """Rows `first .. first + rows - 1` of a store, all of one length, which grows by what is written and can go back."""

    def __init__(self, store: KeyValueStore, first: int = 0, rows: int = 1, length: int = 0) -> None:
        super().__init__(layers=[_Layer(self, number) for number in range(len(store.keys))])
        self.store = store
        self.first = first
        self.rows = rows
        self.length = length
        """Tokens that count. After a forward pass: `advance` by what it wrote."""

    def write(self, buffer: Tensor, states: Tensor) -> Tensor:
        """Put states [rows, K, new, D] behind what counts; gives all of it, [rows, K, length + new, D]."""
        end = self.length + states.shape[2]
        rows = buffer[self.first : self.first + self.rows]
        rows[:, :, self.length : end] = states
        return rows[:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` more."""
        self.length += tokens


class RaggedView(Cache):  # type: ignore[misc]
    """The first rows of a store, each of its own length, one token at a time."""

    def __init__(self, store: KeyValueStore, lengths: list[int], device: Any) -> None:
        super().__init__(layers=[_Layer(self, number) for number in range(len(store.keys))])
        self.store = store
        self.length = max(lengths)
        self.even = min(lengths) == self.length
        self.lengths = torch.tensor(lengths, device=device)
        """int64 [rows]: tokens of each row before this step, which is also the position of its new token."""
        self._row = torch.arange(len(lengths), device=device)
        self._place = torch.arange(store.capacity, device=device)

    def advance(self) -> None:
        """Count the token that was written for each row."""
        self.length += 1
        self.lengths = self.lengths + 1

    def write(self, buffer: Tensor, states: Tensor) -> Tensor:
        """Put one token a row, [rows, K, 1, D], in its place; gives [rows, K, longest + 1, D]."""
        rows = buffer[: len(self._row)]
        if self.even:
            rows[:, :, self.length] = states[:, :, 0]
        else:
            rows[self._row, :, self.lengths] = states[:, :, 0]
        return rows[:, :, : self.length + 1]

    def mask(self) -> Tensor | None:
        """Which places count, bool [rows, longest + 1]; None where all do."""
        if self.even:
            return None
        return self._place[: self.length + 1] <= self.lengths[:, None]
