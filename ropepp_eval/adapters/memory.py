"""Memory: what a cell needs, from shapes alone; what there is; and what running out looks like."""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.checkpoints import CheckpointInfo
from ropepp_eval.checkpoints.cache_layers import CacheKinds, cache_entries, kept_whole, windows
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length

SMALLEST_CHUNK = 64
"""Chunks are not made smaller than this; who has no room for 64 tokens has no room."""
MASK_PLACES = {"cpu": 1 << 27, "cuda": 1 << 31}
"""Most entries of the mask [chunk, context] that a chunk needs; chunks of very long inputs are made smaller for it."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
HEAD_ELEMENTS = 1 << 24
"""Logits at once on a CPU, see `scoring`."""
CHUNK_TOKENS = {"cpu": 4096, "cuda": 65536}
"""Tokens of a sequence that enter the model at once."""
WHOLE_BYTES = 256 << 20
"""Activations of an input that a small model reads in one piece."""
WHOLE_FROM_TOKENS = 16384
RUNTIME_BYTES = 700 << 20
"""Python, torch, transformers and lm-eval themselves, resident on a CPU: an allowance, on the safe side."""


@dataclass(frozen=True, kw_only=True)
class ModelShapes:
    """What memory depends on."""

    parameters: int
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    """Heads that attend (EC: twice the published number)."""
    head_dim: int
    vocab_size: int
    cache: CacheKinds
    """What the layers keep of the tokens they have read, by their own word."""
    whole: bool = False
    """Whether prompts are read whole: then windows bound the cache, and a chunk is a prompt."""

    @classmethod
    def of(cls, info: CheckpointInfo) -> ModelShapes:
        """Those of an inspected checkpoint."""
        return cls(
            parameters=info.parameters,
            hidden_size=info.hidden_size,
            intermediate_size=info.intermediate_size,
            attention_heads=info.attention_heads,
            head_dim=info.head_dim,
            vocab_size=info.vocab_size,
            cache=info.cache,
            whole=bool(info.whole),
        )

    @property
    def windowed(self) -> bool:
        """Whether some layers need a mask even where a prompt is read in one piece."""
        return bool(windows(self.cache))

    def kv_bytes(self, tokens: int, dtype_bytes: int) -> int:
        """The cache of `tokens` tokens as the adapter holds it: where prefixes are shared, windows are kept whole, so that it
        can go back to any token."""
        return cache_entries(self.cache if self.whole else kept_whole(self.cache), tokens) * dtype_bytes


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes that a cell needs at its peak, by what they hold."""

    weights: int
    cache: int
    activations: int
    logits: int
    runtime: int
    available: int | None
    """Bytes there are; None: not known."""
    length_tokens: int
    chunk_tokens: int | None
    """None: prompts are read whole."""

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activations + self.logits + self.runtime

    @property
    def fits(self) -> bool:
        return self.available is None or self.total <= self.available

    def describe(self) -> str:
        """One line for people."""
        shown = ", ".join(f"{name} {gib(getattr(self, name))}" for name in ("weights", "cache", "activations", "logits"))
        have = "" if self.available is None else f" of {gib(self.available)}"
        return f"expected peak {gib(self.total)}{have} ({shown}, runtime {gib(self.runtime)})"

    def check(self, what: str) -> None:
        """Raise UserError where it does not fit, with the number and the remedy."""
        if not self.fits:
            length = format_length(self.length_tokens)
            raise UserError(f"{what} at {length} does not fit in memory: {self.describe()}; {self._remedy()}")

    def _remedy(self) -> str:
        if self.activations > max(self.weights, self.cache) and (self.chunk_tokens or 0) > SMALLEST_CHUNK:
            assert self.chunk_tokens is not None
            return f"read in smaller chunks (--chunk {max(SMALLEST_CHUNK, self.chunk_tokens // 4)})"
        return "compute in bfloat16 (--dtype bfloat16), ask for shorter --lengths, or use a device with more memory"


def plan_memory(
    shapes: ModelShapes | CheckpointInfo,
    *,
    length_tokens: int,
    dtype: str = "float32",
    rows: int = 1,
    chunk_tokens: int = 4096,
    available_bytes: int | None = None,
    device: str = "cpu",
) -> MemoryPlan:
    """Peak bytes of a cell, from shapes alone.

    Args:
        shapes: `ModelShapes`, or a `CheckpointInfo`.
        length_tokens: prompt and budget of the longest row.
        dtype: what weights, cache and activations are kept in; `auto` is not known here, give the checkpoint's.
        rows: rows in the cache side by side.
        chunk_tokens: tokens that enter the model at once.
        available_bytes: see `available_memory`.
        device: `cpu` counts Python and the libraries too.
    """
    shapes = shapes if isinstance(shapes, ModelShapes) else ModelShapes.of(shapes)
    size = DTYPE_BYTES[dtype]
    chunk = length_tokens if shapes.whole else min(chunk_tokens, length_tokens)
    return MemoryPlan(
        weights=shapes.parameters * size,
        cache=rows * shapes.kv_bytes(length_tokens, size),
        activations=_activations(shapes, chunk, length_tokens, size),
        logits=HEAD_ELEMENTS * (size + 2 * 4),
        runtime=RUNTIME_BYTES if device == "cpu" else 0,
        available=available_bytes,
        length_tokens=length_tokens,
        chunk_tokens=None if shapes.whole else chunk_tokens,
    )


def _activations(shapes: ModelShapes, chunk: int, length: int, size: int) -> int:
    """Largest of what a layer holds at once: its MLP (gate, up, product), or its attention with keys and values repeated to
    all heads and, in chunks, the mask (bool, twice while it is made, and as numbers to add)."""
    residual = 3 * chunk * shapes.hidden_size
    mlp = 3 * chunk * shapes.intermediate_size
    mask = min(chunk * length, MASK_PLACES["cpu"]) if chunk < length or shapes.windowed else 0
    if shapes.whole and shapes.windowed:
        mask = length * length
    repeated = 2 * length * shapes.attention_heads * shapes.head_dim
    attention = 4 * chunk * shapes.attention_heads * shapes.head_dim + repeated
    return size * residual + max(size * mlp, size * attention + mask * (2 + size))


def default_chunk(shapes: ModelShapes, dtype: str, device: str, attention: str) -> int:
    """Tokens that enter at once where the user says nothing.

    Small models read 16k tokens and more in one piece where that takes `WHOLE_BYTES` at most: one causal piece needs no mask and
    skips the upper half of the scores. Eager attention
    keeps its scores, so it never does; windows need a mask [chunk, chunk], which bounds the chunk.
    """
    usual = CHUNK_TOKENS.get(device, CHUNK_TOKENS["cpu"])
    if shapes.windowed:
        return min(usual, math.isqrt(MASK_PLACES.get(device, MASK_PLACES["cpu"])))
    whole = WHOLE_BYTES // max(1, _activations(shapes, 1, 1, DTYPE_BYTES[dtype]))
    return max(usual, whole) if attention != "eager" and whole >= WHOLE_FROM_TOKENS else usual


def chunk_of(tokens: int, context: int, chunk_tokens: int, device: str, windowed: bool = False) -> int:
    """Tokens of `tokens` that enter at once to end at `context`: `chunk_tokens`, or fewer where the mask would be too large.

    `windowed`: some layers need a mask even in one piece.
    """
    if tokens == context <= chunk_tokens and not windowed:
        return tokens  # one piece without a cache needs no mask
    places = MASK_PLACES.get(device, MASK_PLACES["cpu"])
    return min(chunk_tokens, max(SMALLEST_CHUNK, places // context))


def gib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.2f} GiB" if size >= 1 << 28 else f"{size / 2**20:.1f} MiB"


def available_memory(device: str = "cpu") -> int | None:
    """Bytes free on a device: of a GPU, or of this machine within its container's limit; None where it can't be told."""
    if device.startswith("cuda"):
        import torch

        free: int = torch.cuda.mem_get_info(torch.device(device))[0]
        return free
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    free = kibibytes.get("MemAvailable", 0) * 1024
    return min([free, *_container_memory()]) or None


def _container_memory() -> list[int]:
    """Bytes left under a cgroup's limit, where there is one."""
    root = Path("/sys/fs/cgroup")
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            most, now = (root / limit).read_text().strip(), (root / used).read_text().strip()
        except OSError:
            continue
        if most.isdigit() and int(most) < 1 << 60:
            return [max(0, int(most) - int(now))]
    return []


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)


def free_memory() -> None:
    """Give back what nobody holds any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_failure(tokens: int, chunk: int) -> Failure:
    """The failure of a row that no smaller piece can save."""
    message = f"{tokens} tokens do not fit in memory, even in chunks of {chunk}; use a smaller dtype or a larger device"
    return Failure("memory", "OutOfMemory", message)
