"""Heads that GPUs can't share are refused by the plan alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ropepp_eval.checkpoints.inspection import inspect_checkpoint
from ropepp_eval.cluster.executor import check_heads
from ropepp_eval.cluster.nodes import Needs, Node, needs_of
from ropepp_eval.errors import UserError


@pytest.mark.parametrize(("parts", "fits"), [(1, True), (2, True), (3, False), (4, False)])
def test_tensor_parallel_divides_the_key_value_heads(parts: int, fits: bool, tiny_checkpoint: Path) -> None:
    one = SimpleNamespace(info=inspect_checkpoint(str(tiny_checkpoint)), label="tiny")
    config = SimpleNamespace(adapter_options=(("tensor_parallel_size", parts),))
    plan: Any = SimpleNamespace(config=config, checkpoints=[one])
    if fits:
        check_heads(plan)
    else:
        with pytest.raises(
            UserError, match=rf"--tensor-parallel-size {parts} does not divide the 2 .* of tiny; it may be 1, 2"
        ):
            check_heads(plan)


NODES = [Node("a", "a", 16, 8), Node("b", "b", 4, 0)]


@pytest.mark.parametrize(
    ("asked", "tensor_parallel", "needs", "room"),
    [
        ({}, 1, Needs(1, 1), [8, 0]),
        ({}, 4, Needs(1, 4), [2, 0]),
        ({"gpus": 3}, 1, Needs(1, 3), [2, 0]),
        ({"cpus": 2}, 1, Needs(2, 0), [8, 2]),
    ],
)
def test_a_worker_takes_what_was_asked_or_a_gpu(
    asked: dict[str, int], tensor_parallel: int, needs: Needs, room: list[int]
) -> None:
    found = needs_of(NODES, gpus=asked.get("gpus"), cpus=asked.get("cpus"), tensor_parallel=tensor_parallel)
    assert found == needs
    assert [node.room(needs) for node in NODES] == room


def test_without_gpus_a_worker_takes_four_cores_at_most() -> None:
    assert needs_of([Node("a", "a", 64, 0)], gpus=None, cpus=None, tensor_parallel=1) == Needs(4, 0)
    assert needs_of([Node("a", "a", 2, 0)], gpus=None, cpus=None, tensor_parallel=1) == Needs(2, 0)
    with pytest.raises(UserError, match="a worker of 9 GPUs fits on no node: the largest has 8"):
        needs_of(NODES, gpus=9, cpus=None, tensor_parallel=1)
