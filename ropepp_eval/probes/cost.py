"""Memory and time of a new token, against context and batch: the native engine's own decoding, over a cache that is filled with numbers.

The floor is what must be read for a token (weights and cache) over the device's measured bandwidth.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.memory import available_memory, free_memory
from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.calls import Steps
from ropepp_eval.forecasts.memory import plan_memory
from ropepp_eval.lengths import format_length
from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, Setting, name_columns
from ropepp_eval.processes import forget_peak, peak_bytes
from ropepp_eval.words import gib

if TYPE_CHECKING:
    import pandas

    from ropepp_eval.adapters.native.forward import Forward

_PROBED_BYTES = 256 << 20
_ROUNDS = 5


@dataclass(frozen=True)
class Cost(Probe):
    """The `cost` probe; it works with any causal language model whose prefixes can be shared."""

    kind: ClassVar[str] = "cost"
    of_heads: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"aggregation": "mean", "higher_is_better": False, "scale": 1.0}
        for name in ("milliseconds", "peak_mib", "cache_mib", "floor_milliseconds")
    }

    batches: tuple[int, ...] = (1, 8)
    steps: int = 8
    """Tokens that are timed; the time is their median."""

    def __post_init__(self) -> None:
        for batch in self.batches:
            if batch < 1:
                raise UserError(f"batch {batch} is below 1; give sizes of 1 or more, such as --batch 1,8")
        if not self.batches:
            raise UserError("no batch was named; give sizes, such as --batch 1,8")
        if self.steps < 1:
            raise UserError(f"steps {self.steps} is below 1; time at least one token, such as --steps 8")

    def settings(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        """`subject`: a `NativeLM`."""
        for row in rows:
            yield row, measured(subject, cell.length_tokens, int(row.values["batch"]), self.steps)

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a checkpoint, length and batch: milliseconds a token (of all rows of the batch together) and bytes."""
        import pandas

        return pandas.DataFrame(
            [{**name_columns(record), **record["scores"], **record["details"]} for record in records]
        ).drop(columns=["row", "cluster"], errors="ignore")

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """The frame with each line's ratios to the first checkpoint at the same length and batch."""
        first = frame[frame["checkpoint"] == frame["checkpoint"].iloc[0]].set_index(["length_tokens", "batch"])
        base = first.loc[list(zip(frame["length_tokens"], frame["batch"], strict=True))] if _covers(first, frame) else None
        columns = ("milliseconds", "peak_mib", "cache_mib")
        return frame.assign(
            **{f"{name}_ratio": None if base is None else frame[name].to_numpy() / base[name].to_numpy() for name in columns}
        )


def _covers(first: pandas.DataFrame, frame: pandas.DataFrame) -> bool:
    return {*zip(frame["length_tokens"], frame["batch"], strict=True)} <= {*first.index}


def cost_rows(batches: Sequence[int], number: int) -> tuple[Setting, ...]:
    """The one row of a cell: a batch."""
    return (Setting({"batch": batches[number]}),)


def measured(lm: Any, context: int, batch: int, steps: int) -> Measured:
    """Decode `steps` tokens for `batch` rows with `context` tokens each in the cache.

    A cell that does not fit in memory is a failure that says so; nothing is tried then.
    """
    forward, shapes, device = lm.forward, lm.shapes, lm.forward.device
    if forward.whole:
        return Measured(
            None, {}, Failure("engine", "NoCache", "this model reads prompts whole, so a new token has no cost of its own")
        )
    size = next(lm.model.parameters()).element_size()
    dtype = str(lm.model.dtype).removeprefix("torch.")
    plan = plan_memory(
        shapes,
        [Steps(rows=batch, context=context, steps=steps, capacity=batch * (context + steps + 2), even=True)],
        dtype=dtype,
        device=device.type,
    )
    free = available_memory(str(device))
    if free is not None and plan.cache + plan.logits > free:
        message = f"a cache of {gib(plan.cache)} for {batch} rows of {format_length(context)} does not fit in {gib(free)}; ask for less"
        return Measured(None, {}, Failure("memory", "OutOfMemory", message))
    with peak_memory(device) as peak:
        seconds, cache = decode_seconds(forward, shapes, context, batch, steps)
    weights = weight_bytes(lm.model)
    bandwidth = bandwidth_bytes(str(device))
    scores = {
        "milliseconds": 1000 * seconds, "peak_mib": peak.bytes / 2**20, "cache_mib": cache / 2**20,
        "floor_milliseconds": 1000 * (weights + cache) / bandwidth,
    }  # fmt: skip
    details = {
        "batch": batch, "engine": "native", "dtype": dtype, "device": device.type, "weights_mib": weights / 2**20, "bandwidth_gib": bandwidth / 2**30,
        "arithmetic_cache_mib": batch * shapes.kv_bytes(context, size) / 2**20, "threads": torch.get_num_threads(),
    }  # fmt: skip
    return Measured(scores, details)


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


def bandwidth_bytes(device: str) -> float:
    """Bytes a second that the device reads in one long sum, the best of some rounds."""
    numbers = torch.ones(_PROBED_BYTES // 4, dtype=torch.float32, device=device)
    best = 0.0
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        numbers.sum().item()
        best = max(best, numbers.nbytes / (time.perf_counter() - began))
    return best


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
