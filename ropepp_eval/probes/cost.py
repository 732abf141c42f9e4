"""Memory and time of a new token, against context and batch, by engine.

The floor is what must be read for a token (weights and cache) over the device's measured bandwidth. How each engine's step is timed stands in
`cost_native` and `cost_vllm`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.memory import available_memory
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, name_columns
from ropepp_eval.words import gib

if TYPE_CHECKING:
    import pandas

VLLM_MARK = "~vllm"
"""End of the label of a checkpoint that vLLM decodes; the native engine's have none."""
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
        """`subject`: (context in tokens, batch, steps) -> Measured, by an engine."""
        for row in rows:
            yield row, subject(cell.length_tokens, int(row.values["batch"]), self.steps)

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a checkpoint, engine, length and batch: milliseconds a token (of all rows of the batch together) and bytes."""
        import pandas

        frame = pandas.DataFrame([{**name_columns(record), **record["scores"], **record["details"]} for record in records])
        marks = [VLLM_MARK if engine == "vllm" else "" for engine in frame["engine"]]
        frame["checkpoint"] = [name.removesuffix(mark) for name, mark in zip(frame["checkpoint"], marks, strict=True)]
        return frame.drop(columns=["row", "cluster"])

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """The frame with each line's ratios to the first checkpoint's by the same engine at the same length and batch, where it is there."""
        cell = ["engine", "length_tokens", "batch"]
        columns = ["milliseconds", "peak_mib", "cache_mib"]
        first = frame[frame["checkpoint"] == frame["checkpoint"].iloc[0]].set_index(cell)[columns]
        base = first.reindex(list(frame[cell].itertuples(index=False, name=None)))
        return frame.assign(**{f"{name}_ratio": frame[name].to_numpy() / base[name].to_numpy() for name in columns})


def came_out(
    *, seconds: float, peak: int, cache: int, weights: float, arithmetic_cache: int, engine: str, device: str, **details: Any
) -> Measured:
    """What came out of a cell: bytes as MiB, and the floor; `details` are kept as they are."""
    bandwidth = bandwidth_bytes(device)
    scores = {
        "milliseconds": 1000 * seconds, "peak_mib": peak / 2**20, "cache_mib": cache / 2**20,
        "floor_milliseconds": 1000 * (weights + cache) / bandwidth,
    }  # fmt: skip
    kept = {
        "engine": engine,
        "device": device.split(":")[0],
        "weights_mib": weights / 2**20,
        "bandwidth_gib": bandwidth / 2**30,
    }
    return Measured(scores, {**kept, "arithmetic_cache_mib": arithmetic_cache / 2**20, **details})


def too_large(cache: int, batch: int, context: int, device: str) -> Measured | None:
    """The failure of a cell whose cache does not fit in memory; None where it does."""
    free = available_memory(device)
    if free is None or cache <= free:
        return None
    message = (
        f"a cache of {gib(cache)} for {batch} rows of {format_length(context)} does not fit in {gib(free)}; ask for less"
    )
    return failed("memory", "OutOfMemory", message)


def failed(stage: str, kind: str, message: str) -> Measured:
    """A cell of which nothing came out."""
    return Measured(None, {}, Failure(stage, kind, message))


def bandwidth_bytes(device: str) -> float:
    """Bytes a second that the device reads in one long sum, the best of some rounds."""
    numbers = torch.ones(_PROBED_BYTES // 4, dtype=torch.float32, device=device)
    best = 0.0
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        numbers.sum().item()
        best = max(best, numbers.nbytes / (time.perf_counter() - began))
    return best
