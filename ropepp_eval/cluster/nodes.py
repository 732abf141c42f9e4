"""The machines of a cluster: how many workers each has room for, what lies on it, and what a process there wrote last."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.adapters.memory import available_memory
from ropepp_eval.cluster.library import require_ray
from ropepp_eval.errors import UserError
from ropepp_eval.words import counted

_LOG_BYTES = 4096
_LOG_LINES = 8
_NODE_SECONDS = 300.0
"""For a small question to a node, the start of a process there included."""
_TOOL_SECONDS = 20.0
USUAL_CPUS = 4


@dataclass(frozen=True)
class Node:
    """One machine that lives."""

    id: str
    host: str
    cpus: int
    gpus: int

    def room(self, needs: Needs) -> int:
        """How many workers fit."""
        by_cpu = self.cpus // needs.cpus
        return min(by_cpu, self.gpus // needs.gpus) if needs.gpus else by_cpu


@dataclass(frozen=True)
class Needs:
    """What one worker takes."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return counted(self.gpus, "GPU") if self.gpus else counted(self.cpus, "core")


def living_nodes() -> list[Node]:
    """The nodes of the cluster, now."""
    found = []
    for node in require_ray().nodes():
        if node["Alive"]:
            has = node["Resources"]
            host = str(node["NodeManagerHostname"])
            found.append(Node(node["NodeID"], host, int(has.get("CPU", 0)), int(has.get("GPU", 0))))
    return sorted(found, key=lambda node: (node.host, node.id))


def needs_of(nodes: Sequence[Node], *, gpus: int | None, cpus: int | None, tensor_parallel: int) -> Needs:
    """What a worker takes: the GPUs asked for, on a cluster with GPUs one or as many as share the heads, else cores.

    Raises:
        UserError: no node has so much.
    """
    most_gpus = max((node.gpus for node in nodes), default=0)
    most_cpus = max((node.cpus for node in nodes), default=0)
    if gpus is None and cpus is None and most_gpus:
        gpus = tensor_parallel
    if gpus is not None:
        if gpus > most_gpus:
            raise UserError(
                f"a worker of {counted(gpus, 'GPU')} fits on no node: the largest has {most_gpus}; give --gpus-per-worker up to that"
                + ("" if most_gpus else ", or --cpus-per-worker")
            )
        return Needs(1, gpus)
    if cpus is not None and cpus > most_cpus:
        raise UserError(
            f"a worker of {counted(cpus, 'core')} fits on no node: the largest has {most_cpus}; give --cpus-per-worker up to that"
        )
    return Needs(cpus or max(1, min(USUAL_CPUS, most_cpus)), 0)


def on_node(node_id: str) -> Any:
    """Ray's word for: on this node or nowhere."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)


def next_node(nodes: Sequence[Node], have: Mapping[str, int], room: Callable[[Node], int]) -> Node | None:
    """Where the next worker goes: of the nodes with room the first one with the fewest workers; None where there is no room.

    Args:
        have: workers by node.
        room: for how many workers a node has room.
    """
    free = [node for node in nodes if room(node) > have.get(node.id, 0)]
    return min(free, key=lambda node: have.get(node.id, 0), default=None)


@dataclass(frozen=True)
class Found:
    """What is there on a node."""

    missing: tuple[str, ...]
    """Paths that are not."""
    memory: int | None
    """Bytes of its memory that are free; None where it can't be told."""
    gpu_memory: tuple[int, ...]
    """Bytes that are free on its GPUs, on the emptiest first; empty where it can't be told."""


def look_at(nodes: Sequence[Node], paths: Sequence[str], seconds: float = _NODE_SECONDS) -> dict[str, Found]:
    """What is there on each node, by its id.

    Args:
        seconds: in which a node must answer.

    Raises:
        UserError: a node does not answer.
    """
    ray = require_ray()
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = [(node, look.options(scheduling_strategy=on_node(node.id)).remote(list(paths), node.gpus)) for node in nodes]
    found = {}
    for node, answer in asked:
        try:
            found[node.id] = ray.get(answer, timeout=seconds)
        except ray.exceptions.RayError as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"node {node.host} can't run ropepp-eval ({type(error).__name__}: {why[:200]}); install the same release there"
            ) from error
    return found


def _look(paths: list[str], gpus: int) -> Found:
    missing = tuple(path for path in paths if not Path(path).exists())
    return Found(missing, available_memory(), _free_of_gpus(gpus) if gpus else ())


def _free_of_gpus(gpus: int) -> tuple[int, ...]:
    """Of the `gpus` emptiest ones, by the driver's own tool: to a process without GPUs Ray shows none."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ()
    mebibytes = [int(line) for line in done.stdout.split() if line.isdecimal()]
    return tuple(sorted((free << 20 for free in mebibytes), reverse=True)[:gpus])


def last_lines(node_id: str, log: str, pid: int, *, end: bool = False) -> str:
    """The end of what a worker wrote to its log; empty where its node is gone too.

    Args:
        end: kill the process as well: one that hangs does not end because Ray asks it to.
    """
    ray = require_ray()
    task = ray.remote(num_cpus=0, max_retries=0)(_last_lines).options(scheduling_strategy=on_node(node_id))
    try:
        return str(ray.get(task.remote(log, pid if end else None), timeout=_NODE_SECONDS / 10))
    except ray.exceptions.RayError:
        return ""


def _last_lines(log: str, kill: int | None) -> str:
    if kill is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(kill, signal.SIGKILL)
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - _LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " / ".join([line.strip() for line in lines if line.strip()][-_LOG_LINES:])
