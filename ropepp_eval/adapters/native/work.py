"""What a list of requests will cost, before it runs; and how long it still takes, while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.native.grouping import FlatBatch, SharedRun, Unit
from ropepp_eval.forecasts.memory import MemoryPlan
from ropepp_eval.words import counted, gib


@dataclass
class WorkPlan:
    """Batches, tokens, bytes, and the time as far as it is known."""

    requests: int
    refused: int
    """Requests that can't be asked: they fail without touching the model."""
    batches: int
    """Batches without a cache."""
    shared_runs: int
    """Runs through one cache, for long sequences and common prefixes."""
    generations: int
    tokens: int
    """Tokens that enter the model, padding not counted; generated ones as far as their budgets go."""
    one_by_one_tokens: int
    """The same if every request ran alone."""
    padding_tokens: int
    kv_bytes: int
    """Largest key/value cache."""
    memory: MemoryPlan
    _started: float | None = field(default=None, repr=False)
    _done: int = field(default=0, repr=False)
    _total: int = field(default=0, repr=False)

    def start(self, weights: int) -> None:
        """Begin the clock; `weights` is the sum of what `advance` will be told."""
        self._started, self._done, self._total = time.perf_counter(), 0, weights

    def advance(self, weight: int) -> None:
        """Count finished work."""
        self._done += weight

    @property
    def seconds_left(self) -> float | None:
        """Time left at the speed so far; None before anything is done."""
        if self._started is None or not self._done:
            return None
        return (time.perf_counter() - self._started) * (self._total - self._done) / self._done

    def lines(self) -> list[str]:
        """For people."""
        saved = 1 - self.tokens / self.one_by_one_tokens if self.one_by_one_tokens else 0.0
        lines = [
            f"work: {counted(self.requests, 'request')} in {counted(self.batches, 'batch', 'batches')}, "
            f"{counted(self.shared_runs, 'shared run')} and {counted(self.generations, 'generation')}; "
            f"{counted(self.tokens, 'token')} (shared prefixes save {saved:.0%}, "
            f"padding adds {self.padding_tokens / max(1, self.tokens):.1%})",
            f"memory: cache up to {gib(self.kv_bytes)}; {self.memory.describe()}",
        ]
        if self.refused:
            lines.append(f"refused: {counted(self.refused, 'request')} can't be asked as they are")
        if self.seconds_left is not None:
            lines.append(f"time: about {self.seconds_left:.0f} s left")
        return lines


def count_work(jobs: Sequence[Job], units: Sequence[Unit], *, memory: MemoryPlan) -> WorkPlan:
    """The plan of `jobs` whose scoring goes by `units`."""
    flat = [unit for unit in units if isinstance(unit, FlatBatch)]
    generations = [job for job in jobs if job.kind == "generate_until" and job.error is None]
    generated = sum(job.capacity for job in generations)
    return WorkPlan(
        requests=len(jobs),
        refused=sum(job.error is not None for job in jobs),
        batches=len(flat),
        shared_runs=sum(isinstance(unit, SharedRun) for unit in units),
        generations=len(generations),
        tokens=sum(unit.tokens for unit in units) + generated,
        one_by_one_tokens=sum(span.inputs for job in jobs for span in job.spans) + generated,
        padding_tokens=sum(unit.padded_tokens - unit.tokens for unit in flat),
        kv_bytes=memory.cache,
        memory=memory,
    )
