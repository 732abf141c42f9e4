"""One worker as the driver sees it: what it is asked, since when, and how it gets on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ropepp_eval.cluster.library import require_ray
from ropepp_eval.cluster.nodes import Needs, Node, on_node
from ropepp_eval.cluster.work import Slice
from ropepp_eval.cluster.worker import AHEAD, Hello, Order, Worker
from ropepp_eval.runs.answering import Asking
from ropepp_eval.worker_states import WorkerState


@dataclass(eq=False)
class Member:
    """A worker that was started. `waiting` is what Ray will answer next: a reference, a stream of rows, or None while it is idle."""

    number: int
    node: Node
    actor: Any
    waiting: Any
    hello: Hello | None = None
    loaded: str | None = None
    """Label of its checkpoint, from when loading begins."""
    loading: bool = False
    slice: Slice | None = None
    left: set[int] = field(default_factory=set)
    """Numbers of the rows of its slice that have not come."""
    since: float = field(default_factory=time.monotonic)
    """When it began to do what it does, or gave a row last."""
    begun: float = field(default_factory=time.monotonic)
    rows: int = 0

    @classmethod
    def start(cls, number: int, node: Node, needs: Needs, offline: bool) -> Member:
        """A process on the node. It begins when the node has room for it."""
        ray = require_ray()
        kind = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=needs.cpus, num_gpus=needs.gpus)(Worker)
        actor = kind.options(scheduling_strategy=on_node(node.id)).remote(needs.cpus, offline)
        return cls(number, node, actor, actor.hello.remote())

    def load(self, order: Order, slice_: Slice) -> None:
        """Load a checkpoint, to be asked the slice then."""
        self._begin(slice_)
        self.loaded, self.loading = order.label, True
        self.waiting = self.actor.load.remote(order)

    def ask(self, slice_: Slice, shipped: tuple[str, Any]) -> None:
        """Answer the rows of a slice."""
        self._begin(slice_)
        self.loading = False
        name, rows = shipped
        streaming = self.actor.answers.options(num_returns="streaming", _generator_backpressure_num_objects=AHEAD)
        self.waiting = streaming.remote(Asking.of(slice_.cell.task), name, [rows], [row.row for row in slice_.rows])

    def _begin(self, slice_: Slice) -> None:
        self.slice, self.left, self.since = slice_, {row.row for row in slice_.rows}, time.monotonic()

    def rest(self) -> None:
        """It has done what it was asked."""
        self.slice, self.waiting, self.left = None, None, set()
        self.since = time.monotonic()

    def next(self) -> Any:
        """What it answered. Raises what Ray raises where it is lost, StopIteration at the end of a stream."""
        ray = require_ray()
        waiting = self.waiting
        return ray.get(next(waiting)) if isinstance(waiting, Iterator) else ray.get(waiting)

    def end(self) -> None:
        """Kill its process."""
        require_ray().kill(self.actor, no_restart=True)

    @property
    def silent_seconds(self) -> float:
        return time.monotonic() - self.since

    def __str__(self) -> str:
        return f"worker {self.number} on {self.node.host}"

    @property
    def doing(self) -> str:
        """In words."""
        if self.hello is None:
            return "starting"
        if self.slice is None:
            return "idle"
        if self.loading:
            return f"loading {self.loaded}"
        done = len(self.slice.rows) - len(self.left)
        return f"{self.slice.label}, {self.slice.cell}, {done} of {len(self.slice.rows)} rows"

    @property
    def state(self) -> WorkerState:
        minutes = (time.monotonic() - self.begun) / 60
        rate = self.rows / minutes if self.rows and minutes else None
        return WorkerState(name=str(self), doing=self.doing, rows=self.rows, rows_a_minute=rate)
