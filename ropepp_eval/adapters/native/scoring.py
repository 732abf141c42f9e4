"""Scoring: the least work that gives the exact log-probabilities of the wanted tokens.

Only hidden states of scored positions go through the head, in blocks, and their log-softmax is float32. Common prefixes run
once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.laps import Laps
from ropepp_eval.adapters.ledger import SpanScore
from ropepp_eval.adapters.memory import free_memory, memory_failure, out_of_memory
from ropepp_eval.adapters.native.cache import KeyValueStore, StackView
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.adapters.native.grouping import (
    PACKED_TOKENS,
    Branch,
    FlatBatch,
    Limits,
    SharedRun,
    Stem,
    Unit,
    build_stems,
    build_units,
    is_packed,
    shared_tokens,
)
from ropepp_eval.adapters.native.head import Head
from ropepp_eval.adapters.native.nonfinite import HEAD_NOT_FINITE, locate_non_finite
from ropepp_eval.forecasts.limits import SMALLEST_CHUNK, limits_of


def target_logprobs(head: Head, hidden: Tensor, place: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of targets, without ever holding the logits of all positions.

    Args:
        head: hidden states [N, hidden] to logits [N, vocabulary].
        hidden: [N, hidden], final hidden states.
        place: int64 [M], rising: which hidden state predicts the target; several targets may share one.
        target: int64 [M].

    Returns:
        float32 [M] natural log-probabilities; bool [M], whether the target is the most likely token.
    """
    elements = limits_of(hidden.device.type).head_elements
    block = max(1, elements // head.vocabulary)
    edges = torch.arange(0, len(hidden) + block, block, device=place.device)
    bounds = torch.searchsorted(place, edges).tolist()
    logprobs, greedy = [], []
    for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
        if begin == end:
            continue
        first = number * block
        logits = head(hidden[first : first + block]).float()
        own, wanted = place[begin:end] - first, target[begin:end]
        chosen = logits[own, wanted]
        top, likeliest = logits.max(-1)
        # in place: new memory costs more than the arithmetic
        sums = logits.sub_(top[:, None]).exp_().sum(-1).log_().add_(top)
        logprobs.append(chosen - sums[own])
        greedy.append(likeliest[own] == wanted)
        del logits  # before the next block is made
    return torch.cat(logprobs), torch.cat(greedy)


class Scorer:
    """Runs units of work and gives the scores of each span as soon as they are there."""

    def __init__(self, forward: Forward, limits: Limits, events: list[str], laps: Laps) -> None:
        self.forward = forward
        self.limits = limits
        self.laps = laps
        """Each lap is shared out evenly among the spans that it served."""
        self.events = events
        """What happened on the way that the user should know, such as batches halved for want of memory."""
        self._store: KeyValueStore | None = None

    def units(self, jobs: Sequence[Job]) -> list[Unit]:
        """The work of `jobs`, long sequences first."""
        spans = (((job.index, number), span) for job in jobs for number, span in enumerate(job.spans))
        return build_units(build_stems(spans, share=self.limits.share), self.limits)

    def run(self, jobs: Sequence[Job]) -> Iterator[SpanScore]:
        """Scores of every span of `jobs`. A span that fails says so; the others go on."""
        by_index = {job.index: job for job in jobs}
        queue = deque(self.units(jobs))
        while queue:
            unit, done, exhausted = queue.popleft(), 0, False
            try:
                for stems, scores in self._run_unit(unit):
                    for score in scores:
                        if not np.isfinite(score.logprobs).all():
                            score = self._alone(score, by_index[score.owner[0]])
                        yield score
                    done += len(stems)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                exhausted = True
            if exhausted:  # outside the handler: there the error's frames would keep the tensors alive
                yield from self._retreat(unit, done, queue)
        self._store = None

    def _retreat(self, unit: Unit, done: int, queue: deque[Unit]) -> Iterator[SpanScore]:
        """Put back what was not done, in smaller pieces; what can't be smaller fails."""
        self._store = None
        free_memory()
        left = unit.stems[done:]
        if isinstance(unit, FlatBatch) and len(left) > 1:
            half = (len(left) + 1) // 2
            self.limits = replace(self.limits, batch_tokens=max(1, self.limits.batch_tokens // 2))
            self.events.append(f"out of memory with {len(left)} rows of {unit.longest} tokens; went on with {half}")
            queue.extendleft([FlatBatch(left[half:]), FlatBatch(left[:half])])
            return
        longest = max(stem.tokens for stem in left)
        if self.forward.whole:
            self.events.append(f"out of memory with {longest} tokens, which this model reads whole; that request failed")
            yield from self._failed(left[0], longest)
            return
        piece = longest if isinstance(unit, FlatBatch) else min(self.forward.chunk_tokens, longest)
        if piece > SMALLEST_CHUNK:
            self.forward.chunk_tokens = min(self.forward.chunk_tokens, max(SMALLEST_CHUNK, piece // 2))
            self.events.append(f"out of memory with {longest} tokens; went on in chunks of {self.forward.chunk_tokens}")
            queue.appendleft(SharedRun(left))
            return
        self.events.append(f"out of memory with {longest} tokens in chunks of {piece}; that request failed")
        yield from self._failed(left[0], piece)
        if left[1:]:
            queue.appendleft(SharedRun(left[1:]))

    def _failed(self, stem: Stem, piece: int) -> Iterator[SpanScore]:
        seconds = self.laps.end() / len(stem.owners)
        for owner in stem.owners:
            yield SpanScore(owner, np.empty(0, np.float32), False, seconds, memory_failure(stem.tokens, piece))

    def _alone(self, score: SpanScore, job: Job) -> SpanScore:
        """The score of a span run by itself, or where in the model it stops being finite.

        Others of its batch may have spoilt it: what a mask hides is still multiplied by zero.
        """
        span = job.spans[score.owner[1]]
        found = locate_non_finite(self.forward, span.ids[:-1])
        if found is not None:
            return replace(score, seconds=score.seconds + self.laps.end(), failure=found)
        if self.forward.whole:  # it was alone
            return replace(score, seconds=score.seconds + self.laps.end(), failure=HEAD_NOT_FINITE)
        run = SharedRun(tuple(build_stems([(score.owner, span)])))
        store = self.forward.new_store(1, run.capacity)  # not the one in use: its run goes on
        ((_, (alone,)),) = self._run_shared(run, store)
        alone = replace(alone, seconds=score.seconds + alone.seconds)
        if not np.isfinite(alone.logprobs).all():
            return replace(alone, failure=HEAD_NOT_FINITE)
        return alone

    @torch.inference_mode()
    def _run_unit(self, unit: Unit) -> Iterator[tuple[Sequence[Stem], list[SpanScore]]]:
        if isinstance(unit, SharedRun):
            yield from self._run_shared(unit)
            return
        if is_packed(unit.stems[0]):
            by_stem = self.forward.packed([(stem.trunk, [branch.ids for branch in stem.branches]) for stem in unit.stems])
        else:
            by_stem = self._flat_hidden(unit)
        pairs: list[tuple[Branch, Tensor]] = []
        for stem, hidden in zip(unit.stems, by_stem, strict=True):
            pairs += zip(stem.branches, hidden, strict=True)
        yield unit.stems, self._scores(pairs)

    def _flat_hidden(self, batch: FlatBatch) -> list[list[Tensor]]:
        ids = self.forward.tensor([np.concatenate([stem.trunk, stem.branches[0].ids]) for stem in batch.stems])
        hidden = self.forward.hidden(ids)
        return [[row[len(stem.trunk) : stem.tokens]] for stem, row in zip(batch.stems, hidden, strict=True)]

    def _run_shared(
        self, run: SharedRun, store: KeyValueStore | None = None
    ) -> Iterator[tuple[Sequence[Stem], list[SpanScore]]]:
        view = StackView(store or self._store_of(run.capacity))
        before: Stem | None = None
        for stem in run.stems:
            with torch.inference_mode():
                view.length = 0 if before is None else shared_tokens(before, stem)
                scores = self._scores(list(self._stem_hidden(view, stem)))
            yield (stem,), scores
            before = stem

    def _store_of(self, capacity: int) -> KeyValueStore:
        """The store of the last run where it fits, else a new one."""
        if self._store is None or not capacity <= self._store.capacity <= 2 * capacity:
            self._store = None  # never hold two
            self._store = self.forward.new_store(1, capacity)
        return self._store

    def _stem_hidden(self, view: StackView, stem: Stem) -> Iterator[tuple[Branch, Tensor]]:
        """Hidden states of each branch. With one branch the view holds it afterwards, with several only the trunk."""
        rest = stem.trunk[view.length :]
        if len(stem.branches) == 1:
            branch = stem.branches[0]
            hidden = self.forward.extend(view, np.concatenate([rest, branch.ids]), keep=len(branch.ids))
            assert hidden is not None
            yield branch, hidden
            return
        self.forward.extend(view, rest)
        for group in self._branch_groups(stem.branches):
            if len(group) > 1:
                yield from zip(group, self.forward.branches(view, [branch.ids for branch in group]), strict=True)
                continue
            hidden = self.forward.extend(view, group[0].ids, keep=len(group[0].ids))
            assert hidden is not None
            view.length = len(stem.trunk)
            yield group[0], hidden

    def _branch_groups(self, branches: Sequence[Branch]) -> Iterator[list[Branch]]:
        """Branches that go through the model side by side; one at a time where the model does not take that."""
        most = min(PACKED_TOKENS, self.forward.chunk_tokens) if self.forward.packs and self.limits.share else 0
        group: list[Branch] = []
        tokens = 0
        for branch in branches:
            if group and tokens + len(branch.ids) > most:
                yield group
                group, tokens = [], 0
            group.append(branch)
            tokens += len(branch.ids)
        yield group

    def _scores(self, pairs: Sequence[tuple[Branch, Tensor]]) -> list[SpanScore]:
        """Scores of all wants of branches, given the hidden states [len, hidden] of each."""
        places, targets, wants = [], [], []
        offset = 0
        for branch, hidden in pairs:
            for want in branch.wants:
                places.append(np.arange(offset, offset + len(want.targets)))
                targets.append(want.targets)
                wants.append(want)
            offset += len(hidden)
        place, target = np.concatenate(places), np.concatenate(targets).astype(np.int64)
        order = np.argsort(place, kind="stable")
        device = self.forward.device
        states = torch.cat([hidden for _, hidden in pairs]) if len(pairs) > 1 else pairs[0][1]
        found = target_logprobs(
            self.forward.head, states, torch.from_numpy(place[order]).to(device), torch.from_numpy(target[order]).to(device)
        )
        logprobs, greedy = np.empty(len(place), np.float32), np.empty(len(place), bool)
        logprobs[order], greedy[order] = (part.cpu().numpy() for part in found)
        seconds = self.laps.end() / len(wants)
        ends = np.cumsum([len(want.targets) for want in wants])[:-1]
        return [
            SpanScore(want.owner, own, bool(top.all()), seconds)
            for want, own, top in zip(wants, np.split(logprobs, ends), np.split(greedy, ends), strict=True)
        ]
