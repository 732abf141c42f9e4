"""The machines of a cluster: how many workers each has room for, what lies on it, and what a process there wrote last."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.cluster.library import require_ray
from ropepp_eval.errors import UserError
from ropepp_eval.words import counted

_LOG_BYTES = 4096
_LOG_LINES = 8
_NODE_SECONDS = 300.0
"""For a small question to a node, the start of a process there included."""
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


def missing_on(nodes: Sequence[Node], paths: Sequence[str]) -> list[tuple[Node, str]]:
    """Which of the paths are not there on which node.

    Raises:
        UserError: a node does not answer.
    """
    ray = require_ray()
    look = ray.remote(num_cpus=0, max_retries=0)(_not_there)
    asked = [(node, look.options(scheduling_strategy=on_node(node.id)).remote(list(paths))) for node in nodes]
    found = []
    for node, answer in asked:
        try:
            found += [(node, path) for path in ray.get(answer, timeout=_NODE_SECONDS)]
        except ray.exceptions.RayError as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"node {node.host} can't run ropepp-eval ({type(error).__name__}: {why[:200]}); install the same release there"
            ) from error
    return found


def _not_there(paths: list[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


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
