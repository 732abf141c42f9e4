"""Which nodes get workers: what the plan names lies there, and what a worker holds fits there beside its neighbours."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.cluster.nodes import Found, Needs, Node, look_at, next_node
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.words import counted, gib

if TYPE_CHECKING:
    from ropepp_eval.runs.forecast import CellForecast, Forecaster
    from ropepp_eval.runs.plan import Plan

WORKER_BYTES = 650 << 20
"""Resident in a worker before it loads weights: Python, Ray, torch and transformers."""
JOIN_SECONDS = 20.0
"""In which a node that joins a run answers; the driver waits for it meanwhile."""


class Admission:
    """Judges nodes for a plan."""

    def __init__(self, plan: Plan, needs: Needs) -> None:
        self._plan, self.needs = plan, needs
        named: list[Any] = [checkpoint.source for checkpoint in plan.checkpoints]
        named += [plan.config.tokenizer] if plan.config.tokenizer else []
        named += plan.config.position_module
        self._paths = list(dict.fromkeys(path for path in map(here_or_named, named) if Path(path).is_absolute()))
        self._room: dict[str, int] = {}
        self._largest = functools.cache(self._largest_cell)
        self._gpu_memory: int | None = None

    def check(self, nodes: Sequence[Node], most: int | None) -> None:
        """Judge the nodes that a run begins with.

        Args:
            most: workers at most on all of them.

        Raises:
            UserError: a node lacks a path of the plan (hub ids are fetched there, once a node), or the workers that it has room for
                do not fit in its memory.
        """
        found = look_at(nodes, self._paths)
        gone = [f"node {node.host} has no {path}" for node in nodes for path in found[node.id].missing]
        if gone:
            raise UserError(
                f"{'; '.join(gone)}; copy it there to the same place, or name a folder that all nodes share or a hub id"
            )
        self._gpu_memory = max((free for one in found.values() for free in one.gpu_memory), default=None)
        places = list(_places(nodes, self.needs, most))
        have: Counter[str] = Counter()
        for number, node in enumerate(places):
            neighbours = [other for other in nodes if other.host == node.host]
            beside = sum(have[other.id] for other in neighbours)
            over = self._over(found[node.id], have[node.id], beside)
            if over is not None:
                asked = sum(other.host == node.host for other in places)
                fewer = node.cpus // beside if beside and len(neighbours) == 1 and not self.needs.gpus else None
                raise self._refusal(node, found[node.id], asked, number, fewer, *over)
            have[node.id] += 1

    def join(self, node: Node) -> str:
        """Judge a node that came later, which gets as many workers as fit; why it gets none, or nothing."""
        try:
            found = look_at([node], self._paths, seconds=JOIN_SECONDS)[node.id]
        except UserError as error:
            return str(error)
        if found.missing:
            return f"node {node.host} has no {found.missing[0]}"
        numbers = range(node.room(self.needs))
        fitting = next((number for number in numbers if self._over(found, number, number)), len(numbers))
        self._room[node.id] = fitting
        return "" if fitting or not numbers else f"node {node.host} has too little memory for a worker"

    def room(self, node: Node) -> int:
        """How many workers it gets."""
        return self._room.get(node.id, node.room(self.needs))

    def forecaster(self) -> Forecaster:
        """What rows cost on these nodes."""
        from ropepp_eval.runs.forecast import Forecaster, Room

        return Forecaster(self._plan, room=Room(self._gpu_memory))

    def _over(self, found: Found, number: int, beside: int) -> tuple[CellForecast, int] | None:
        """The cell that a further worker has no memory for, and the memory that it has; None where all fit, or nobody can say.

        Args:
            number: workers on the node already.
            beside: those on its machine.
        """
        if self.needs.gpus:
            place = number * self.needs.gpus
            if place >= len(found.gpu_memory):
                return None
            left = found.gpu_memory[place]
            largest = self._largest(left >> 30)
        else:
            largest = self._largest(None)
            if found.memory is None or largest is None:
                return None
            left = found.memory - beside * largest.memory.total
        return None if largest is None or largest.memory.total <= left else (largest, left)

    def _largest_cell(self, gpu_gibibytes: int | None) -> CellForecast | None:
        """The cell of any checkpoint that takes the most memory; what a GPU's cache takes hangs on what is free there."""
        from ropepp_eval.runs.forecast import Forecaster, Room  # with the engine, which no worker imports so early
        from ropepp_eval.runs.preflight import largest_cells

        room = Room(None, WORKER_BYTES) if gpu_gibibytes is None else Room(gpu_gibibytes << 30)
        cells = largest_cells(self._plan, Forecaster(self._plan, room=room))
        return max(cells, key=lambda cell: cell.memory.total, default=None)

    def _refusal(
        self, node: Node, found: Found, asked: int, fitting: int, cpus: int | None, cell: CellForecast, left: int
    ) -> UserError:
        """That a worker of the node does not fit, though `fitting` others do."""
        alone = dataclasses.replace(cell.memory, available=None, resident=0)
        what = f"{cell} at {format_length(alone.length_tokens)}"
        if not fitting:
            return dataclasses.replace(alone, available=left).refusal(f"{cell} on a worker of node {node.host}")
        if self.needs.gpus:
            return UserError(
                f"a GPU of node {node.host} has {gib(left)} free, too little for a worker ({what}, {alone.describe()}); give --workers "
                f"{fitting}, or end what holds its memory"
            )
        more = f" or --cpus-per-worker {cpus}" if cpus else ""
        return UserError(
            f"{counted(asked, 'worker')} on node {node.host} do not fit in the {gib(found.memory or 0)} that are free there (each: {what}, "
            f"{alone.describe()}); give --workers {fitting}{more}"
        )


def _places(nodes: Sequence[Node], needs: Needs, most: int | None) -> Iterator[Node]:
    """The nodes of a run's first workers, one after the other."""
    have: Counter[str] = Counter()
    while most is None or have.total() < most:
        node = next_node(nodes, have, lambda node: node.room(needs))
        if node is None:
            return
        yield node
        have[node.id] += 1


def here_or_named(name: str) -> str:
    """A path that is here as an absolute one, which means the same in any folder; a hub id or a card as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name
