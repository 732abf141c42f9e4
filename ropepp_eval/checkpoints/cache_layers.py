"""What the layers of a model keep of the tokens they have read, and how much that is: a model's cache is their sum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FullLayers:
    """Layers that keep keys and values of every token."""

    layers: int
    entries_per_token: int
    """Numbers that one layer keeps of a token."""

    def entries(self, length_tokens: int) -> int:
        """Numbers that all of them keep of so many tokens."""
        return self.layers * self.entries_per_token * length_tokens

    def describe(self) -> str:
        """Few words for people."""
        return f"{self.layers} full"


@dataclass(frozen=True, kw_only=True)
class SlidingLayers:
    """Layers that look back `window_tokens`, the newest included, and need no more."""

    layers: int
    entries_per_token: int
    window_tokens: int

    def entries(self, length_tokens: int) -> int:
        """As `FullLayers.entries`, at most the window."""
        return self.layers * self.entries_per_token * min(length_tokens, self.window_tokens)

    def describe(self) -> str:
        """Few words for people."""
        return f"{self.layers} with a window of {self.window_tokens:,}"


@dataclass(frozen=True, kw_only=True)
class StateLayers:
    """Layers that fold what they have read into a state of one size (state-space models, linear attention, convolutions)."""

    layers: int
    entries_per_layer: int

    def entries(self, length_tokens: int) -> int:
        """Numbers of all states, whatever the length."""
        return self.layers * self.entries_per_layer

    def describe(self) -> str:
        """Few words for people."""
        return f"{self.layers} with a state"


CacheLayers = FullLayers | SlidingLayers | StateLayers
CacheKinds = tuple[CacheLayers, ...]
"""The layers of a model, those of one kind together. A layer with keys, values and a state counts in two kinds."""


def cache_entries(kinds: Iterable[CacheLayers], length_tokens: int) -> int:
    """Numbers that a cache of so many tokens holds."""
    return sum(kind.entries(length_tokens) for kind in kinds)


def kept_whole(kinds: CacheKinds) -> CacheKinds:
    """The same layers in a store that keeps every token of windows too, so that it can go back to any."""
    return tuple(
        FullLayers(layers=kind.layers, entries_per_token=kind.entries_per_token) if isinstance(kind, SlidingLayers) else kind
        for kind in kinds
    )


def windows(kinds: CacheKinds) -> tuple[SlidingLayers, ...]:
    """The kinds with a window."""
    return tuple(kind for kind in kinds if isinstance(kind, SlidingLayers))
