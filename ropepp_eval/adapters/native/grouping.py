"""Which requests share work: from spans to stems (a trunk and its branches), from stems to batches. No torch, no model.

A span's inputs are split where scoring begins: the *trunk* is what comes before the first token whose hidden state is
needed, the *branch* is the rest (the last token of the context and all but the last of the continuation). Spans with equal
inputs become one branch; branches on equal trunks become one stem. Stems in lexicographic order share as much of their
trunks with their neighbour as any order allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ropepp_eval.adapters.windows import Ids, Span, common_prefix

if TYPE_CHECKING:
    from ropepp_eval.adapters.encoding import Job

CALL_TOKENS = 128
"""What a call of the model costs besides its tokens, in tokens: below this, sharing a prefix is not worth its own call."""
PACKED_TOKENS = 1024
"""Longest row of a trunk with several branches that goes without a cache; its mask is [tokens, tokens]."""
ALONE_TOKENS = 1024
"""Rows longer than this get a call of their own: they fill the device by themselves, and in half precision, where kernels round
differently for each number of rows, their scores do not depend on what else is in the batch."""
PADDING = 0.05
"""Most of a batch that may be padding."""


@dataclass(frozen=True, eq=False)
class Want:
    """A span that needs hidden states of a branch: the targets of its last places."""

    owner: tuple[int, int]
    """(number of the job, number of its span)."""
    targets: Ids


@dataclass(eq=False)
class Branch:
    """Tokens behind a trunk; the last hidden states of it are what its wants need."""

    ids: Ids
    wants: list[Want] = field(default_factory=list)


@dataclass(eq=False)
class Stem:
    """A trunk with all branches that follow it."""

    trunk: Ids
    branches: list[Branch] = field(default_factory=list)

    @property
    def branch_tokens(self) -> int:
        return sum(len(branch.ids) for branch in self.branches)

    @property
    def longest_branch(self) -> int:
        return max(len(branch.ids) for branch in self.branches)

    @property
    def tokens(self) -> int:
        """Tokens with the trunk read once."""
        return len(self.trunk) + self.branch_tokens

    @property
    def owners(self) -> list[tuple[int, int]]:
        return [want.owner for branch in self.branches for want in branch.wants]


@dataclass(frozen=True, eq=False)
class FlatBatch:
    """Stems that go through the model together, without a cache; each a row."""

    stems: tuple[Stem, ...]

    @property
    def longest(self) -> int:
        return max(stem.tokens for stem in self.stems)

    @property
    def padded_tokens(self) -> int:
        return self.longest * len(self.stems)

    @property
    def tokens(self) -> int:
        return sum(stem.tokens for stem in self.stems)


@dataclass(frozen=True, eq=False)
class SharedRun:
    """Stems in lexicographic order that go through one cache, each going on where it leaves its predecessor."""

    stems: tuple[Stem, ...]

    @property
    def capacity(self) -> int:
        """Longest sequence that the cache has to hold."""
        return max(len(stem.trunk) + min(stem.branch_tokens, max(PACKED_TOKENS, stem.longest_branch)) for stem in self.stems)

    @property
    def tokens(self) -> int:
        """Tokens that enter the model."""
        shared = sum(shared_tokens(a, b) for a, b in itertools.pairwise(self.stems))
        return sum(stem.tokens for stem in self.stems) - shared


Unit = FlatBatch | SharedRun


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a call may hold."""

    batch_tokens: int
    """Tokens of a batch, padding included."""
    chunk_tokens: int
    """Longest row without a cache; longer ones go in chunks."""
    batch_rows: int | None = None
    """Most rows of a batch; None: as many as fit."""
    packs: bool = True
    """Whether several branches may share a row."""
    share: bool = True
    """False: every span alone, in the same pieces whatever else there is."""


def shared_tokens(before: Stem, stem: Stem) -> int:
    """Tokens of the stem's trunk that the cache holds after `before`: of its trunk, and of its branch if it has one."""
    shared = common_prefix(before.trunk, stem.trunk)
    if shared == len(before.trunk) and len(before.branches) == 1:
        shared += common_prefix(before.branches[0].ids, stem.trunk[shared:])
    return shared


def sort_key(ids: Ids) -> bytes:
    """Bytes that sort as the ids do."""
    return ids.astype(">u4").tobytes()


def build_stems(spans: Iterable[tuple[tuple[int, int], Span]], *, share: bool = True) -> list[Stem]:
    """Stems of the spans, in lexicographic order of their trunks and branches.

    Branches on no trunk have nothing to share and are stems of their own; each stands where a trunk of its tokens would, before those
    that begin with it, so that what scores a beginning fills the cache for what follows it.
    """
    stems: dict[tuple[bytes, object], Stem] = {}
    branches: dict[tuple[bytes, bytes, object], Branch] = {}
    for owner, span in spans:
        cut = span.first - 1
        trunk, rest = span.ids[:cut], span.ids[cut:-1]
        key, branch_key = sort_key(trunk), sort_key(rest)
        alone: object = owner if not share else None if cut else branch_key
        stem = stems.setdefault((key, alone), Stem(trunk))
        branch = branches.get((key, branch_key, alone))
        if branch is None:
            branch = branches[key, branch_key, alone] = Branch(rest)
            stem.branches.append(branch)
        branch.wants.append(Want(owner, span.ids[span.first :]))
    for stem in stems.values():
        stem.branches.sort(key=lambda branch: sort_key(branch.ids))
    return sorted(stems.values(), key=_place)


def _place(stem: Stem) -> tuple[bytes, bool, bytes]:
    first = stem.branches[0].ids
    return sort_key(stem.trunk if len(stem.trunk) else first), len(stem.trunk) > 0, sort_key(first)


def build_units(stems: Sequence[Stem], limits: Limits) -> list[Unit]:
    """Batches and shared runs that hold every stem once: the cheaper of the two for each cluster of neighbours.

    Long work comes first, so that what does not fit in memory shows at once and time is over- rather than underestimated.
    """
    flat: list[Stem] = []
    runs: list[Unit] = []
    for cluster in clusters(stems, limits):
        rows = [row for stem in cluster for row in rows_of(stem, limits)]
        if all(row.tokens <= limits.chunk_tokens for row in rows) and not worth_a_cache(cluster, rows):
            flat += rows
        elif limits.share:
            runs.append(SharedRun(tuple(cluster)))
        else:
            runs += [SharedRun((stem,)) for stem in cluster]
    return sorted([*flat_batches(flat, limits), *runs], key=lambda unit: -longest(unit))


def longest(unit: Unit) -> int:
    """Tokens of the unit's longest sequence."""
    return unit.longest if isinstance(unit, FlatBatch) else unit.capacity


def clusters(stems: Sequence[Stem], limits: Limits) -> Iterator[list[Stem]]:
    """Runs of neighbours whose trunks share enough to be worth a call of their own."""
    cluster: list[Stem] = []
    for stem in stems:
        if cluster and (not limits.share or shared_tokens(cluster[-1], stem) < 2 * CALL_TOKENS):
            yield cluster
            cluster = []
        cluster.append(stem)
    if cluster:
        yield cluster


def rows_of(stem: Stem, limits: Limits) -> list[Stem]:
    """The stem as rows of a batch: itself where its branches may share a row, else a row a branch."""
    if len(stem.branches) == 1 or (limits.packs and limits.share and stem.tokens <= min(PACKED_TOKENS, limits.chunk_tokens)):
        return [stem]
    return [Stem(stem.trunk, [branch]) for branch in stem.branches]


def worth_a_cache(cluster: Sequence[Stem], rows: Sequence[Stem]) -> bool:
    """Whether going through one cache saves more tokens than its further calls cost."""
    calls = sum(1 + (len(stem.branches) > 1) for stem in cluster)
    return sum(row.tokens for row in rows) > SharedRun(tuple(cluster)).tokens + calls * CALL_TOKENS


def flat_batches(stems: Sequence[Stem], limits: Limits) -> list[FlatBatch]:
    """Batches of rows of nearly equal lengths: within the token budget and never padded more than `PADDING`."""
    batches: list[FlatBatch] = []
    batch: list[Stem] = []
    tokens = 0
    for stem in sorted(stems, key=lambda stem: (is_packed(stem), -stem.tokens)):
        if batch and not _joins(stem, batch, tokens, limits):
            batches.append(FlatBatch(tuple(batch)))
            batch, tokens = [], 0
        batch.append(stem)
        tokens += stem.tokens
    return [*batches, FlatBatch(tuple(batch))] if batch else batches


def _joins(stem: Stem, batch: Sequence[Stem], tokens: int, limits: Limits) -> bool:
    """Whether a stem not longer than the batch's first may join it."""
    if not limits.share or len(batch) == limits.batch_rows or is_packed(stem) != is_packed(batch[0]):
        return False
    if batch[0].tokens > ALONE_TOKENS:
        return False
    padded = batch[0].tokens * (len(batch) + 1)
    return padded <= limits.batch_tokens and padded - tokens - stem.tokens <= PADDING * padded


def is_packed(stem: Stem) -> bool:
    """Whether the row holds several branches and so needs its own mask."""
    return len(stem.branches) > 1


def order_of(jobs: Sequence[Job]) -> list[Job]:
    """Long prompts first, those with a common prefix together."""
    clusters: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: sort_key(job.prompt)):
        if clusters and common_prefix(clusters[-1][-1].prompt, job.prompt) >= 2 * CALL_TOKENS:
            clusters[-1].append(job)
        else:
            clusters.append([job])
    clusters.sort(key=lambda cluster: -max(job.capacity for job in cluster))
    return [job for cluster in clusters for job in sorted(cluster, key=lambda job: -job.capacity)]
