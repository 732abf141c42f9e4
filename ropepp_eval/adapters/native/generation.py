"""Greedy generation: rows share each step, leave when they are done, and make room for the next."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.laps import Laps
from ropepp_eval.adapters.ledger import Generated, written
from ropepp_eval.adapters.memory import free_memory, memory_failure, out_of_memory
from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView, StackView
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.adapters.native.grouping import CALL_TOKENS, PADDING, Limits, order_of
from ropepp_eval.adapters.native.nonfinite import failure_of
from ropepp_eval.adapters.windows import common_prefix
from ropepp_eval.adapters.writer import Writer
from ropepp_eval.forecasts.limits import SMALLEST_CHUNK


@dataclass(eq=False)
class Row:
    """A row that is being written."""

    job: Job
    writer: Writer
    seconds: float = 0.0

    @property
    def length(self) -> int:
        """Tokens of the row in the cache: all but the newest."""
        return len(self.job.prompt) + len(self.writer.ids) - 1


@dataclass(eq=False)
class Generator:
    """Greedy decoding of many prompts through one key/value store of `rows` slots."""

    forward: Forward
    tokenizer: Any
    limits: Limits
    end_ids: frozenset[int]
    rows: int
    """Most rows that are written side by side."""
    cache_tokens: int
    """Most tokens of all slots together; one row may always be as long as it is."""
    events: list[str]
    laps: Laps
    """Each lap is shared out evenly among the rows that it served."""
    _spent: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float), init=False)
    """Seconds of rows that must begin again, by the number of their job."""
    _store: KeyValueStore | None = field(default=None, init=False)
    _view: RaggedView | None = field(default=None, init=False)
    """The rows as the last step left them; None once a row came or went."""
    _newest: Tensor | None = field(default=None, init=False)
    """The newest token of each row of `_view`."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        """Finished rows, as they finish. A row that fails says so; the others go on."""
        queue = deque(order_of(jobs))
        active: list[Row] = []
        while queue or active:
            finished: list[Generated] = []
            exhausted = False
            try:
                if queue and len(active) < self._slots(active, queue):
                    finished = self._admit(active, queue)
                else:
                    finished = self._step(active)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                exhausted = True
            if exhausted:  # outside the handler: there the error's frames would keep the tensors alive
                finished = self._retreat(active, queue)
            yield from finished
        self._store = self._view = None

    def slots(self, capacity: int, jobs: int) -> int:
        """Rows of `capacity` tokens that are written side by side when `jobs` wait."""
        return max(1, min(self.rows, self.cache_tokens // capacity, jobs))

    def _slots(self, active: Sequence[Row], queue: Sequence[Job]) -> int:
        """Rows that fit side by side; the store is made anew when nobody is in it."""
        if self._store is None or not active:
            need = max(job.capacity for job in queue)
            rows = self.slots(need, len(queue))
            if self._store is None or self._store.capacity < need or self._store.rows != rows:
                self._store = None  # never hold two
                self._store = self.forward.new_store(rows, need)
        if queue[0].capacity > self._store.capacity:
            return 0  # it waits until the shorter ones are done
        return self._store.rows

    @torch.inference_mode()
    def _admit(self, active: list[Row], queue: deque[Job]) -> list[Generated]:
        """Read the next prompts into free slots and write their first tokens."""
        assert self._store is not None
        group = self._next_group(queue, self._store.rows - len(active))
        if len(group) > 1:
            ids = self.forward.tensor([job.prompt for job in group])
            view = StackView(self._store, len(active), len(group))
            hidden = self.forward.hidden(ids, cache=view)
            last = hidden[torch.arange(len(group)), [len(job.prompt) - 1 for job in group]]
        else:
            last = self._read_alone(active, group[0])
        for number, job in enumerate(group):
            self._store.clear(len(active) + number, len(job.prompt))
            queue.popleft()
        rows = [Row(job, Writer.of(job, self.tokenizer, self.end_ids), self._spent.pop(job.index, 0.0)) for job in group]
        active += rows
        self._view = None
        return self._write(active, rows, last)

    def _next_group(self, queue: Sequence[Job], free: int) -> list[Job]:
        """The next prompt, with others of nearly its length where they are short."""
        group: list[Job] = []
        for job in queue:
            longest = max(len(job.prompt), *(len(other.prompt) for other in group)) if group else len(job.prompt)
            padded = longest * (len(group) + 1)
            tokens = sum(len(other.prompt) for other in group) + len(job.prompt)
            too_long = longest > 2 * CALL_TOKENS or padded > self.limits.batch_tokens
            if group and (too_long or padded - tokens > PADDING * padded):
                break
            if group and job.capacity > (self._store.capacity if self._store else 0):
                break
            group.append(job)
            if len(group) == free or not self.limits.share:
                break
        return group

    def _read_alone(self, active: Sequence[Row], job: Job) -> Tensor:
        """Last hidden state [1, hidden] of one prompt, read into the next slot; a prefix that a neighbour has is copied."""
        assert self._store is not None
        view = StackView(self._store, len(active))
        shared = [min(common_prefix(row.job.prompt, job.prompt), len(job.prompt) - 1) for row in active]
        if self.limits.share and shared and max(shared) >= 2 * CALL_TOKENS:
            view.length = max(shared)
            self._store.copy(shared.index(view.length), len(active), view.length)
        last = self.forward.extend(view, job.prompt[view.length :], keep=1)
        assert last is not None
        return last

    @torch.inference_mode()
    def _step(self, active: list[Row]) -> list[Generated]:
        """One token for every row."""
        assert self._store is not None
        device = self.forward.device
        if self._view is None:
            self._view = RaggedView(self._store, [row.length for row in active], device)
            self._newest = torch.tensor([row.writer.ids[-1] for row in active], device=device)
        assert self._newest is not None
        return self._write(active, list(active), self.forward.step(self._newest, self._view))

    def _write(self, active: list[Row], rows: Sequence[Row], hidden: Tensor) -> list[Generated]:
        """Choose the next token of `rows` from hidden states [rows, hidden]; rows that are done leave `active`."""
        best = self.forward.head(hidden).max(-1)
        self._newest = best.indices
        chosen = torch.where(torch.isfinite(best.values), best.indices, -1).tolist()
        seconds = self.laps.end() / len(rows)
        finished = []
        for row, token in zip(rows, chosen, strict=True):
            row.seconds += seconds
            if token < 0:
                failure = failure_of(self.forward, row.job.prompt, row.writer.ids)
                finished.append(Generated(row.job, None, 0, None, row.seconds, failure))
                self._leave(active, row)
            elif row.writer.add(token):
                finished.append(written(row.job, row.writer, row.seconds))
                self._leave(active, row)
        return finished

    def _leave(self, active: list[Row], row: Row) -> None:
        """Free the row's slot: the last row moves into it."""
        assert self._store is not None
        self._view = None
        slot = active.index(row)
        last = active.pop()
        if last is not row:
            active[slot] = last
            self._store.copy(len(active), slot, last.length + 1)  # one more where its newest token is not counted yet

    def _retreat(self, active: list[Row], queue: deque[Job]) -> list[Generated]:
        """Begin the rows at hand again, fewer at a time or in smaller chunks; one that can't be smaller fails."""
        queue.extendleft(row.job for row in reversed(active))
        for row in active:
            self._spent[row.job.index] += row.seconds
        slots = self._store.rows if self._store else 1
        active.clear()
        self._store = self._view = None
        free_memory()
        tokens = queue[0].capacity
        if slots > 1:
            self.rows = slots // 2
            self.events.append(f"out of memory with {slots} rows of {tokens} tokens; went on with {self.rows}")
            return []
        piece = min(self.forward.chunk_tokens, tokens)
        if piece > SMALLEST_CHUNK:
            self.forward.chunk_tokens = max(SMALLEST_CHUNK, piece // 2)
            self.events.append(f"out of memory with {tokens} tokens; went on in chunks of {self.forward.chunk_tokens}")
            return []
        self.events.append(f"out of memory with {tokens} tokens in chunks of {piece}; that request failed")
        job = queue.popleft()
        seconds = self._spent.pop(job.index, 0.0) + self.laps.end()
        return [Generated(job, None, 0, None, seconds, memory_failure(tokens, piece))]
