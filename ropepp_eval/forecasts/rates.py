"""Seconds of calls: operations and bytes by what a device does of them a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ropepp_eval.forecasts.calls import Call, Read, Steps, chunks
from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes

EAGER_BYTES = 24
"""Moved for each score where they are kept: written and read by product, scale, mask, softmax and the product with the values."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a device does a second, for one model or for any."""

    name: str
    call_seconds: float
    """Of one layer in a call, whatever enters: starting kernels, Python."""
    matrix: float
    """Floating point operations of the layers' matrices while prompts are read (a multiply-add is two)."""
    attention: float
    """Operations of attention below the diagonal."""
    masked: float
    """Operations of attention where a mask is read and all scores are computed."""
    weights: float
    """Bytes of weights that a step of generation reads."""
    cache: float
    """Bytes of the cache that it reads."""
    row: float
    """Operations of the matrices for each row of a step beyond the first, which read the same weights."""


def matrix_operations(shapes: ModelShapes, tokens: float, logits: float = 0) -> float:
    """Two for each entry of a matrix and token; `logits` places go through the output projection too."""
    return 2.0 * (tokens * shapes.matrix_parameters + logits * shapes.head_parameters)


def attention_operations(shapes: ModelShapes, read: Read) -> float:
    """Four for each number of a query and (query, key) pair, in every layer that attends: pairs below the diagonal, or all with a mask."""
    pairs = (
        read.tokens * read.context if read.masked else read.tokens * read.past_tokens + read.tokens * (read.tokens + 1) / 2
    )
    return 4.0 * shapes.attending_layers * shapes.attention_width * pairs * read.rows


def step_bytes(shapes: ModelShapes, dtype: str) -> float:
    """Weights that a step reads: of the embedding only a row is."""
    return DTYPE_BYTES[dtype] * float(shapes.matrix_parameters + shapes.head_parameters)


def seconds_of(call: Call, shapes: ModelShapes, rates: Rates, dtype: str) -> float:
    """How long a call takes."""
    if isinstance(call, Read):
        matrix = matrix_operations(shapes, call.tokens * call.rows, call.logits) / rates.matrix
        attention = attention_operations(shapes, call) / (rates.masked if call.masked else rates.attention)
        return call.times * (shapes.layers * rates.call_seconds + matrix + attention)
    cache = call.rows * shapes.kv_bytes(1 << 10, DTYPE_BYTES[dtype]) / (1 << 10) * call.context / rates.cache
    weights = step_bytes(shapes, dtype) / rates.weights
    more = matrix_operations(shapes, call.rows - 1, call.rows - 1) / rates.row
    return call.times * call.steps * (shapes.layers * rates.call_seconds + weights + max(0.0, more) + cache)


def total_seconds(calls: Iterable[Call], shapes: ModelShapes, rates: Rates, dtype: str) -> float:
    """How long all of them take, one after the other."""
    return sum(seconds_of(call, shapes, rates, dtype) for call in calls)


def rows_seconds(
    shapes: ModelShapes,
    rates: Rates,
    *,
    prompt_tokens: int,
    new_tokens: int,
    rows: int,
    side_by_side: int = 1,
    dtype: str = "float32",
    chunk_tokens: int = 4096,
) -> float:
    """Seconds of `rows` equal rows that are read one by one and written `side_by_side`: what a scheduler needs to share out rows.

    `new_tokens` 0: rows are only read, and scored at their ends.
    """
    reads = chunks(Read(tokens=prompt_tokens, logits=1, times=rows), chunk_tokens)
    together = max(1, min(side_by_side, rows))
    steps = Steps(rows=together, context=prompt_tokens + new_tokens / 2, steps=max(0, new_tokens - 1), times=rows / together)
    return total_seconds([*reads, steps], shapes, rates, dtype)
