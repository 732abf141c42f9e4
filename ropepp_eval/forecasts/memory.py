"""Bytes that work holds at its peak: from shapes and calls alone, on a CPU as it is resident, on a GPU as it is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.calls import Call, Read
from ropepp_eval.forecasts.limits import SMALLEST_CHUNK, limits_of
from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes
from ropepp_eval.lengths import format_length
from ropepp_eval.words import gib

BIAS_QUERIES = 512
"""Queries that meet their bias at once (`modeling.attention.BLOCK_QUERIES`)."""
SCORE_BYTES = 8
"""Of each score where eager attention keeps them all: two copies in float32, and in half precision those beside them that they were made
of. With sinks a third copy in float32."""
CODE_BYTES = 24 << 20
"""Code and tables of libraries that a first pass brings in, on a CPU."""
SLACK_BYTES = 64 << 20
"""What glibc keeps of freed memory at most before it gives it back (twice its largest threshold); as much as was freed, if that is less."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes that a cell needs at its peak, by what they hold."""

    weights: int
    cache: int
    activations: int
    logits: int
    runtime: int
    """What is resident before the weights are, and what the system's allocator keeps; 0 on a GPU."""
    available: int | None
    """Bytes there are; None: not known."""
    length_tokens: int
    chunk_tokens: int | None
    """None: prompts are read whole."""
    rows: int = 1
    """Rows in the cache side by side."""
    resident: int = 0
    """Part of `runtime` that this process holds already: it is not among the bytes that are available."""

    @property
    def total(self) -> int:
        return self.weights + self.cache + max(self.activations, self.logits) + self.runtime

    @property
    def fits(self) -> bool:
        return self.available is None or self.total - self.resident <= self.available

    def describe(self) -> str:
        """One line for people."""
        shown = ", ".join(f"{name} {gib(getattr(self, name))}" for name in ("weights", "cache", "activations", "logits"))
        more = f", {gib(self.total - self.resident)} more than is held now," if self.resident else ""
        have = "" if self.available is None else f"{more} of {gib(self.available)}"
        return f"expected peak {gib(self.total)}{have} ({shown}, runtime {gib(self.runtime)})"

    def check(self, what: str) -> None:
        """Raise UserError where it does not fit."""
        if not self.fits:
            raise self.refusal(what)

    def refusal(self, what: str) -> UserError:
        """That it does not fit, with the number and the remedy."""
        length = format_length(self.length_tokens)
        return UserError(f"{what} at {length} does not fit in memory: {self.describe()}; {self._remedy()}")

    def _remedy(self) -> str:
        entering = min(self.chunk_tokens or 0, self.length_tokens)
        if self.activations > max(self.weights, self.cache) and entering > SMALLEST_CHUNK:
            return f"read in smaller chunks (--chunk {max(SMALLEST_CHUNK, entering // 4)})"
        return "compute in bfloat16 (--dtype bfloat16), ask for shorter --lengths, or use a device with more memory"


def plan_memory(
    shapes: ModelShapes,
    calls: Sequence[Call],
    *,
    dtype: str = "float32",
    attention: str = "sdpa",
    chunk_tokens: int = 4096,
    available_bytes: int | None = None,
    resident_bytes: int = 0,
    device: str = "cpu",
) -> MemoryPlan:
    """Peak bytes of calls that run one after the other.

    Args:
        dtype: what weights, cache and activations are kept in; `auto` is not known here, give the checkpoint's.
        attention: the kernel that runs.
        chunk_tokens: for the remedy alone: the calls say what enters.
        available_bytes: free on the device.
        resident_bytes: what the process holds before weights are loaded, on a CPU.
    """
    size = DTYPE_BYTES[dtype]
    activations = max((activation_bytes(shapes, call, size, attention, device) for call in calls), default=0)
    logits = max((logit_bytes(shapes, call, size, device) for call in calls), default=0)
    cpu = device.partition(":")[0] == "cpu"
    slack = CODE_BYTES + min(SLACK_BYTES, max(activations, logits)) if cpu else 0
    return MemoryPlan(
        weights=shapes.parameters * size,
        cache=shapes.kv_bytes(max((call.capacity for call in calls), default=0), size),
        activations=activations,
        logits=logits,
        runtime=resident_bytes + slack if cpu else 0,
        available=available_bytes,
        length_tokens=int(max((call.context for call in calls), default=0)),
        chunk_tokens=None if shapes.whole else chunk_tokens,
        rows=int(max((call.rows for call in calls), default=1)),
        resident=resident_bytes if cpu else 0,
    )


def activation_bytes(shapes: ModelShapes, call: Call, size: int, attention: str, device: str) -> int:
    """Largest of what a layer holds at once: its MLP (gate, up, product), or its attention with the mask in the dtype, with keys and
    values where they are repeated, and with all scores where the kernel keeps them; and beside it the residual stream and the mask."""
    rows, context = int(-(-call.rows // 1)), int(call.context)
    if isinstance(call, Read):
        tokens, masked, kept = call.tokens, call.masked or shapes.windowed, call.logits
    else:
        tokens, masked, kept = 1, not call.even or shapes.windowed, 0
    eager = attention == "eager"
    entering, places = rows * tokens, tokens * context * (1 if isinstance(call, Read) else rows)
    masks = places * shapes.masks
    scores = rows * shapes.attention_heads * tokens * context
    held = masks * size if eager else masks if masked else 0
    transient = 0
    if eager:
        transient = max(SCORE_BYTES + (size if size < 4 else 0), 3 * size if shapes.sinks else 0) * scores
    elif shapes.biased and masked:
        block = min(BIAS_QUERIES, tokens)
        transient = rows * shapes.attention_heads * block * context * 8
        if device.partition(":")[0] != "cpu":  # there queries, keys and values are made float32 and repeated
            transient += 4 * (entering + 2 * rows * context) * shapes.attention_width
    elif masked:
        transient = places * size
    if shapes.repeats and (eager or (masked and not shapes.ours)):
        transient += 2 * rows * context * shapes.attention_width * size
    attending = entering * (3 * shapes.hidden_size + 3 * shapes.attention_width) * size + transient
    mlp = entering * (4 * shapes.hidden_size + 3 * shapes.intermediate_size) * size
    return held + max(attending, mlp) + kept * shapes.hidden_size * size


def logit_bytes(shapes: ModelShapes, call: Call, size: int, device: str) -> int:
    """A block of logits, in float32 too where they are not."""
    places = call.logits if isinstance(call, Read) else int(-(-call.rows // 1))
    elements = min(places * shapes.vocab_size, max(limits_of(device).head_elements, shapes.vocab_size))
    return elements * (size + (4 if size != 4 else 0))
