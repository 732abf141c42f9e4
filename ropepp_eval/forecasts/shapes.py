"""What time and memory of a checkpoint depend on."""

from __future__ import annotations

from dataclasses import dataclass

from ropepp_eval.checkpoints.cache_layers import CacheKinds, StateLayers, cache_entries, kept_whole, windows

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class ModelShapes:
    """The shape of a model; a `CheckpointInfo` or a loaded model gives it."""

    parameters: int
    matrix_parameters: int
    """Entries of the matrices that a token is multiplied with, embedding and output aside; of experts those that it meets."""
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    """Heads that attend (EC: twice the published number)."""
    head_dim: int
    layers: int
    vocab_size: int
    cache: CacheKinds
    """What the layers keep of the tokens they have read, by their own word."""
    whole: bool = False
    """Whether prompts are read whole: then windows bound the cache, and a chunk is a prompt."""
    biased: bool = False
    """Whether scores get a bias by distance."""
    sinks: bool = False
    """Whether each head has a score of its own beside those of the keys, as GPT-OSS's have."""
    ours: bool = True
    """Whether our own class computes it: transformers' classes repeat keys and values to all heads where there is a mask."""

    @property
    def windowed(self) -> bool:
        """Whether some layers need a mask even where a prompt is read in one piece."""
        return bool(windows(self.cache))

    @property
    def attending_layers(self) -> int:
        """Layers whose work grows with the context."""
        return sum(kind.layers for kind in self.cache if not isinstance(kind, StateLayers))

    @property
    def masks(self) -> int:
        """Masks that a call holds at once: one for each way to look back."""
        return len({getattr(kind, "window_tokens", None) for kind in self.cache if not isinstance(kind, StateLayers)})

    @property
    def repeats(self) -> bool:
        """Whether keys and values are shared by several heads."""
        kept = [kind.entries_per_token for kind in self.cache if not isinstance(kind, StateLayers)]
        return any(entries < 2 * self.attention_width for entries in kept)

    @property
    def widest_token(self) -> int:
        """Numbers that a layer holds of one token at once: its MLP (gate, up, product) or its attention, beside the residual stream."""
        return max(3 * self.intermediate_size + 4 * self.hidden_size, 3 * self.hidden_size + 3 * self.attention_width)

    @property
    def attention_width(self) -> int:
        """Numbers of the queries of one token."""
        return self.attention_heads * self.head_dim

    @property
    def head_parameters(self) -> int:
        """Entries of the output projection."""
        return self.vocab_size * self.hidden_size

    def kv_bytes(self, tokens: int, dtype_bytes: int) -> int:
        """The cache of `tokens` tokens as the adapter holds it: where prefixes are shared, windows are kept whole, so that it
        can go back to any token."""
        return cache_entries(self.cache if self.whole else kept_whole(self.cache), tokens) * dtype_bytes
