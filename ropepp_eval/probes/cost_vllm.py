"""Cost of a new token by vLLM: an engine for each cell, in processes of its own, whose cache holds that cell and no more.

The prompts are read once and stay in vLLM's prefix cache. Then they are asked again side by side, so that all rows begin with their whole
context within a step or two; the time of a step is the median of those in which every row wrote a token, but for the first, as this process
sees them come. The peak is of the workers while they decode, weights and program included; the cache is the blocks that the rows hold by vLLM's
own metric.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ropepp_eval.adapters.vllm.arguments import engine_arguments, request_bytes
from ropepp_eval.adapters.vllm.engine import Engine, EngineDied, EngineRequest, EngineSettings
from ropepp_eval.adapters.vllm.requests import sampling_params
from ropepp_eval.checkpoints.reading import ReadCheckpoint
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.rates import step_bytes
from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes
from ropepp_eval.probes.base import Measured
from ropepp_eval.probes.cost import came_out, failed, too_large

AHEAD_TOKENS = 128
"""Tokens that the row that begins first may write before the last one begins."""


@dataclass(frozen=True)
class VllmCost:
    """A checkpoint as vLLM decodes it; a call measures a cell."""

    read: ReadCheckpoint
    shapes: ModelShapes
    position: str | None
    """What it was read with."""
    dtype: str
    device_type: str
    log_file: Path
    enforce_eager: bool = False

    def __call__(self, context: int, batch: int, steps: int) -> Measured:
        """Decode `steps` tokens for `batch` rows with `context` tokens each in the cache.

        An engine that can't start or dies is a failure with its last lines.
        """
        longest = context + steps + AHEAD_TOKENS
        cache = batch * request_bytes(self.read, longest, self.dtype)
        if (failure := too_large(cache, batch, context, self.device_type)) is not None:
            return failure
        settings = EngineSettings(max_num_seqs=batch, enforce_eager=self.enforce_eager)
        arguments = engine_arguments(
            self.read, self.position, longest, dtype=self.dtype, device_type=self.device_type, settings=settings, cache_bytes=cache,
            measuring=True,
        )  # fmt: skip
        try:
            with contextlib.closing(Engine(arguments, self.log_file)) as engine:
                found = decoded(engine, prompts_of(batch, context, int(self.read.config.vocab_size)), steps)
        except UserError as error:
            return failed("engine", "NoStart", str(error))
        except EngineDied as died:
            return Measured(None, {}, died.failure)
        if found is None:
            return failed(
                "engine", "NotTogether", f"its {batch} rows never wrote {steps} tokens side by side; ask for a smaller batch"
            )
        return came_out(
            seconds=found.seconds, peak=found.peak, cache=found.cache, weights=step_bytes(self.shapes, self.dtype),
            arithmetic_cache=batch * self.shapes.kv_bytes(context, DTYPE_BYTES[self.dtype]), engine="vllm", device=self.device_type, batch=batch,
            dtype=self.dtype, threads=found.threads,
        )  # fmt: skip


@dataclass(frozen=True)
class Decoded:
    """What an engine showed of its steps."""

    seconds: float
    """Median of a step."""
    peak: int
    """Bytes, of all workers together."""
    cache: int
    """Bytes of the blocks that the rows held at the last step."""
    threads: int


def prompts_of(batch: int, context: int, vocabulary: int) -> list[list[int]]:
    """Random ids: no two rows share a prefix, which vLLM would keep once."""
    drawn = np.random.default_rng(0).integers(0, vocabulary, (batch, context))
    drawn[:, 0] = np.arange(batch) % vocabulary
    return [[int(token) for token in row] for row in drawn]


def decoded(engine: Engine, prompts: Sequence[list[int]], steps: int) -> Decoded | None:
    """Read the prompts, then time `steps` steps of all rows together; None where a row ended before the last had written so many."""
    from vllm.sampling_params import RequestOutputKind

    for _ in engine.stream(EngineRequest(None, ids, sampling_params(max_tokens=1)) for ids in prompts):
        pass
    engine.ask_workers("begin_peak")
    params = sampling_params(max_tokens=steps + AHEAD_TOKENS, output_kind=RequestOutputKind.DELTA)
    times: list[list[float]] = [[] for _ in prompts]
    wanted = steps + 2  # the first token ends the prompt, and the step after it may choose kernels
    asked = engine.stream(EngineRequest(number, ids, params) for number, ids in enumerate(prompts))
    with contextlib.closing(asked):  # what is left unwritten then is aborted
        for request, output in asked:
            times[request.key].append(time.perf_counter())
            if output.finished:
                return None
            if min(map(len, times)) == wanted:
                break
        blocks = engine.blocks_used
    last = max(times, key=lambda own: own[0])
    workers = engine.ask_workers("measured_bytes")
    block_bytes = sum(worker["pool"] for worker in workers) // int(engine.config.cache_config.num_gpu_blocks)
    seconds = statistics.median(end - begin for begin, end in pairwise(last[1:wanted]))
    return Decoded(seconds, sum(worker["peak"] for worker in workers), blocks * block_bytes, workers[0]["threads"])
