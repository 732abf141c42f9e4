"""Cost of a new token by the native engine: its own decoding, over a cache that is filled with numbers. No prompt is read.

The time of a step is the median of those after the first, which chooses kernels; the peak is of these steps, weights and program included.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ropepp_eval.adapters.memory import free_memory
from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView
from ropepp_eval.forecasts.calls import Steps
from ropepp_eval.forecasts.memory import plan_memory
from ropepp_eval.probes.base import Measured
from ropepp_eval.probes.cost import came_out, failed, too_large
from ropepp_eval.processes import forget_peak, peak_bytes

if TYPE_CHECKING:
    from ropepp_eval.adapters.native.forward import Forward


def measured(lm: Any, context: int, batch: int, steps: int) -> Measured:
    """Decode `steps` tokens for `batch` rows with `context` tokens each in the cache.

    A cell that does not fit in memory is a failure that says so; nothing is tried then.
    """
    forward, shapes, device = lm.forward, lm.shapes, lm.forward.device
    if forward.whole:
        return failed("engine", "NoCache", "this model reads prompts whole, so a new token has no cost of its own")
    size = next(lm.model.parameters()).element_size()
    dtype = str(lm.model.dtype).removeprefix("torch.")
    steady = Steps(rows=batch, context=context, steps=steps, capacity=batch * (context + steps + 2), even=True)
    plan = plan_memory(shapes, [steady], dtype=dtype, device=device.type)
    if (failure := too_large(plan.cache + plan.logits, batch, context, str(device))) is not None:
        return failure
    with peak_memory(device) as peak:
        seconds, cache = decode_seconds(forward, shapes, context, batch, steps)
    return came_out(
        seconds=seconds, peak=peak.bytes, cache=cache, weights=weight_bytes(lm.model), arithmetic_cache=batch * shapes.kv_bytes(context, size),
        engine="native", device=str(device), batch=batch, dtype=dtype, threads=torch.get_num_threads(),
    )  # fmt: skip


@torch.inference_mode()
def decode_seconds(forward: Forward, shapes: Any, context: int, batch: int, steps: int) -> tuple[float, int]:
    """Median seconds of a step of the whole batch, and bytes of its cache's first `context` tokens."""
    store = forward.new_store(batch, context + steps + 2)
    view = RaggedView(store, [0] * batch, forward.device)
    forward.step(torch.zeros(batch, dtype=torch.long, device=forward.device), view)  # makes the buffers
    fill(store)
    view = RaggedView(store, [context] * batch, forward.device)
    token = torch.zeros(batch, dtype=torch.long, device=forward.device)
    seconds = []
    for step in range(steps + 1):
        began = time.perf_counter()
        token = forward.head(forward.step(token, view)).argmax(-1)
        if forward.device.type == "cuda":
            torch.cuda.synchronize()
        if step:  # the first one chooses kernels
            seconds.append(time.perf_counter() - began)
    buffers = [buffer for buffer in (*store.keys, *store.values) if buffer is not None]
    return statistics.median(seconds), sum(int(buffer[:, :, :context].nbytes) for buffer in buffers)


def fill(store: KeyValueStore) -> None:
    """Put numbers where keys and values of a text would be; which ones does not matter for time or memory."""
    for buffer in (*store.keys, *store.values):
        if buffer is not None:
            for row in buffer:
                row.normal_()


def weight_bytes(model: Any) -> int:
    """Bytes of weights that a token reads: all but the table of embeddings, of which it reads one line, unless the head shares it."""
    table = model.get_input_embeddings().weight
    total = sum(int(parameter.nbytes) for parameter in model.parameters())
    shared = model.get_output_embeddings().weight.data_ptr() == table.data_ptr()
    return total - (0 if shared else int(table.nbytes))


@dataclass
class Peak:
    """Bytes at most, while `peak_memory` watched."""

    bytes: int = 0


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """The peak of a GPU's memory, or of this process's resident memory where the kernel lets it begin anew."""
    peak = Peak()
    gc.collect()
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()
    yield peak
    peak.bytes = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_bytes()
