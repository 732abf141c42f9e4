"""Which calls of the model a list of requests takes, before it runs and before any model is loaded."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.native.grouping import (
    CALL_TOKENS,
    PACKED_TOKENS,
    FlatBatch,
    Limits,
    SharedRun,
    Stem,
    Unit,
    build_stems,
    build_units,
    is_packed,
    order_of,
    shared_tokens,
)
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.adapters.windows import common_prefix
from ropepp_eval.checkpoints.families import SHARING
from ropepp_eval.checkpoints.inspection import CheckpointInfo
from ropepp_eval.forecasts.calls import Call, Read, Steps, chunks
from ropepp_eval.forecasts.limits import cache_tokens, chunk_of, default_chunk, limits_of, rows_at_once
from ropepp_eval.forecasts.memory import MemoryPlan, plan_memory
from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How the native engine takes requests of a model on a device."""

    shapes: ModelShapes
    dtype: str
    device: str
    """Its kind: `cpu`, `cuda`."""
    attention: str
    """The kernel that runs."""
    settings: Settings
    packs: bool
    """Whether several continuations may stand side by side in a row."""
    free_bytes: int | None = None
    """Of a GPU, beside the weights."""

    @classmethod
    def of(
        cls,
        info: CheckpointInfo,
        *,
        dtype: str,
        device: str,
        attention: str,
        settings: Settings,
        free_bytes: int | None = None,
    ) -> Engine:
        """The engine for an inspected checkpoint."""
        shapes, kernel = shapes_of_info(info), info.kernel(attention)
        known = not shapes.biased if info.ours else info.model_type in SHARING
        if kernel not in ("sdpa", "eager") and shapes.windowed:
            shapes = replace(shapes, whole=True)
        packs = kernel in ("sdpa", "eager") and known and not shapes.whole
        return cls(
            shapes=shapes, dtype=dtype, device=device.partition(":")[0], attention=kernel, settings=settings, packs=packs,
            free_bytes=free_bytes,
        )  # fmt: skip

    @property
    def limits(self) -> Limits:
        """What a call may hold."""
        settings = self.settings
        usual = default_chunk(self.shapes, self.dtype, self.device, self.attention)
        return Limits(
            batch_tokens=settings.batch_tokens or limits_of(self.device).batch_tokens,
            chunk_tokens=1 << 40 if self.shapes.whole else settings.chunk_tokens or usual,
            batch_rows=settings.batch_size,
            packs=self.packs,
            share=not (settings.deterministic or self.shapes.whole),
        )

    @property
    def rows(self) -> int:
        """Most rows that are written side by side."""
        asked = {"batch_size": self.settings.batch_size, "deterministic": self.settings.deterministic}
        return rows_at_once(asked, self.device, self.shapes.whole)

    @property
    def cache_tokens(self) -> int:
        """Tokens that they may hold together."""
        return cache_tokens(self.shapes, self.dtype, self.device, self.settings.cache_tokens, self.free_bytes)

    def calls(self, jobs: Sequence[Job], *, of_rows: Sequence[tuple[int, int]] = (), answered: float = 1.0) -> list[Call]:
        """The calls that jobs take.

        Args:
            jobs: all of one cell, or some that stand for all.
            of_rows: (prompt tokens, budget) of all rows, where `jobs` are some of them and are generated.
            answered: share of its budget that an answer takes in the mean.
        """
        asked = [job for job in jobs if job.error is None]
        scoring = [job for job in asked if job.spans]
        spans = (((job.index, number), span) for job in scoring for number, span in enumerate(job.spans))
        units = build_units(build_stems(spans, share=self.limits.share), self.limits) if scoring else []
        generating = [job for job in asked if job.kind == "generate_until"]
        return [*self.scoring(units), *self.generation(generating, of_rows, answered)]

    def scoring(self, units: Sequence[Unit]) -> Iterator[Call]:
        """The calls of scoring, as `scoring.Scorer` makes them."""
        for unit in units:
            if isinstance(unit, FlatBatch):
                packed = is_packed(unit.stems[0])
                logits = sum(stem.branch_tokens for stem in unit.stems)
                yield Read(tokens=unit.longest, rows=len(unit.stems), masked=packed, logits=logits)
            else:
                yield from self._shared(unit)

    def _shared(self, run: SharedRun) -> Iterator[Call]:
        before: Stem | None = None
        for stem in run.stems:
            past = 0 if before is None else shared_tokens(before, stem)
            alone = len(stem.branches) == 1
            ends = stem.branch_tokens if alone else 0
            rest = len(stem.trunk) - past + ends
            if rest:
                yield from self._extend(Read(tokens=rest, past_tokens=past, logits=ends, capacity=run.capacity))
            if not alone:
                yield from self._branches(stem, run.capacity)
            before = stem

    def _branches(self, stem: Stem, capacity: int) -> Iterator[Call]:
        past = len(stem.trunk)
        if not self.packs:
            for branch in stem.branches:
                tokens = len(branch.ids)
                yield Read(tokens=tokens, past_tokens=past, masked=True, logits=tokens, capacity=capacity)
            return
        tokens, times = min(stem.branch_tokens, PACKED_TOKENS), max(1.0, stem.branch_tokens / PACKED_TOKENS)
        yield Read(tokens=tokens, past_tokens=past, masked=True, logits=tokens, capacity=capacity, times=times)

    def _extend(self, read: Read) -> Iterator[Read]:
        """A read behind a cache in chunks, as `forward.Forward.extend` makes them."""
        piece = chunk_of(read.tokens, read.context, self.limits.chunk_tokens, self.device, self.shapes.windowed)
        return chunks(read, piece)

    def generation(self, jobs: Sequence[Job], of_rows: Sequence[tuple[int, int]], answered: float) -> Iterator[Call]:
        """The calls of generation, as `generation.Generator` makes them: long rows first, a row that is done makes room for the next."""
        if not jobs:
            return
        rows = sorted(of_rows or [(len(job.prompt), job.budget) for job in jobs], reverse=True)
        capacity = max(prompt + budget - 1 for prompt, budget in rows)
        slots = max(1, min(self.rows, self.cache_tokens // capacity, len(rows)))
        places = slots * capacity
        for prompt, past, times in self._prompts(jobs, rows, slots):
            together = 1
            if self.limits.share and prompt <= 2 * CALL_TOKENS:
                together = max(1, min(slots, len(rows), self.limits.batch_tokens // prompt))
            read = Read(
                tokens=prompt - past, rows=together, past_tokens=past, logits=1, capacity=places, times=times / together
            )
            yield from (read,) if self.shapes.whole else self._extend(read)
        written = [max(1.0, answered * budget) - 1 for _, budget in rows]
        steps = _makespan(written, slots)
        if steps:
            side_by_side = sum(written) / steps
            context = sum(prompt + new / 2 for (prompt, _), new in zip(rows, written, strict=True)) / len(rows)
            even = len({prompt for prompt, _ in rows}) == 1
            yield Steps(rows=min(slots, max(1.0, side_by_side)), context=context, steps=steps, capacity=places, even=even)

    def _prompts(self, jobs: Sequence[Job], rows: Sequence[tuple[int, int]], slots: int) -> Iterator[tuple[int, int, float]]:
        """(tokens, tokens that a neighbour has, how many rows are like it): rows of nearly one length count as one."""
        shared = self._shared_share(jobs, slots)
        count = min(len(rows), 8)
        for number in range(count):
            part = rows[len(rows) * number // count : len(rows) * (number + 1) // count]
            prompt = round(sum(prompt for prompt, _ in part) / len(part))
            past = min(prompt - 1, int(shared * prompt))
            if past < 2 * CALL_TOKENS:
                yield prompt, 0, len(part)
            elif number:
                yield prompt, past, len(part)
            else:
                yield prompt, 0, 1  # the first has nobody to copy from
                if len(part) > 1:
                    yield prompt, past, len(part) - 1

    def _shared_share(self, jobs: Sequence[Job], slots: int) -> float:
        """Share of the prompts' tokens that is copied from a row that is being written."""
        if not self.limits.share or slots == 1:
            return 0.0
        ordered = order_of(jobs)
        copied = total = 0
        for number, job in enumerate(ordered[1:], 1):
            shared = max(common_prefix(other.prompt, job.prompt) for other in ordered[max(0, number - slots + 1) : number])
            copied += shared if shared >= 2 * CALL_TOKENS else 0
            total += len(job.prompt)
        return copied / total if total else 0.0

    def memory(self, calls: Sequence[Call], *, available_bytes: int | None = None, resident_bytes: int = 0) -> MemoryPlan:
        """What these calls hold at their peak."""
        return plan_memory(
            self.shapes, calls, dtype=self.dtype, attention=self.attention, chunk_tokens=self.limits.chunk_tokens,
            available_bytes=available_bytes, resident_bytes=resident_bytes, device=self.device,
        )  # fmt: skip

    def with_free(self, bytes_of_device: int | None) -> Engine:
        """The engine on a GPU that has so many bytes before weights are loaded."""
        if bytes_of_device is None:
            return self
        return replace(self, free_bytes=max(0, bytes_of_device - self.shapes.parameters * DTYPE_BYTES[self.dtype]))


def _makespan(written: Sequence[float], slots: int) -> float:
    """Steps until all rows are written, `slots` side by side, each taken as soon as one is free."""
    ends = [0.0] * slots
    for new in written:
        heapq.heapreplace(ends, ends[0] + new)
    return max(ends)


def shapes_of_info(info: CheckpointInfo) -> ModelShapes:
    """The shapes of an inspected checkpoint."""
    return ModelShapes(
        parameters=info.parameters,
        matrix_parameters=info.matrix_parameters,
        hidden_size=info.hidden_size,
        intermediate_size=info.intermediate_size,
        attention_heads=info.attention_heads,
        head_dim=info.head_dim,
        layers=info.layers,
        vocab_size=info.vocab_size,
        cache=info.cache,
        whole=bool(info.whole),
        biased=info.biased,
        sinks=info.sinks,
        ours=info.ours,
    )
