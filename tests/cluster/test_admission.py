"""Memory of nodes and costs of work, judged by the forecast alone: no Ray, no GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ropepp_eval.cluster import admission
from ropepp_eval.cluster.admission import Admission
from ropepp_eval.cluster.nodes import Found, Needs, Node
from ropepp_eval.cluster.work import Work
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.devices import DEVICES
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.dry_run import dry_run
from ropepp_eval.runs.plan import Plan, build_plan

EMPTY, FULL = DEVICES["h100"].free_bytes, 1 << 20
NODE = Node("a", "somewhere", 16, 2)


@pytest.fixture(scope="module")
def config(tiny_checkpoint: Path) -> RunConfig:
    """For GPUs that are elsewhere."""
    config = RunConfig.of(tiny_checkpoint, tasks="niah_single_1,openbookqa", lengths="512,1k", samples=4, offline=True)
    return replace(config, device="cuda", elsewhere=True, quiet=True)


@pytest.fixture(scope="module")
def plan(config: RunConfig) -> Plan:
    return build_plan(config)


def found_is(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    monkeypatch.setattr(admission, "look_at", lambda nodes, *_, **__: {one.id: Found((), None, free) for one in nodes})


def test_each_worker_has_a_gpu_of_its_own(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission(plan, Needs(1, 1))
    found_is(monkeypatch, EMPTY, EMPTY)
    admission.check([NODE], None)
    found_is(monkeypatch, EMPTY, FULL)
    admission.check([NODE], 1)
    with pytest.raises(
        UserError, match=r"a GPU of node somewhere has 1.0 MiB free, too little for a worker \(.*\); give --workers 1, or"
    ):
        admission.check([NODE], None)
    assert admission.join(NODE) == ""
    assert admission.room(NODE) == 1
    found_is(monkeypatch, FULL, FULL)
    with pytest.raises(
        UserError, match=r"on a worker of node somewhere at \S+ does not fit in memory: expected peak .* of 1.0 MiB"
    ):
        admission.check([NODE], None)
    assert admission.join(NODE) == "node somewhere has too little memory for a worker"
    assert admission.room(NODE) == 0


def test_what_a_node_does_not_say_is_not_held_against_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    found_is(monkeypatch)
    for needs in (Needs(1, 1), Needs(8, 0)):
        Admission(plan, needs).check([NODE], None)


def test_work_costs_what_a_dry_run_foresees(config: RunConfig, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same unit: seconds of an H100; of a cell they are shared out by its rows' tokens."""
    found_is(monkeypatch, EMPTY, EMPTY)
    admission = Admission(plan, Needs(1, 1))
    admission.check([NODE], None)
    work = Work(plan, [(cell, cell.rows) for cell in plan.cells], 2, admission.forecaster())
    (estimate,) = dry_run(config, device_model="h100").checkpoints.values()
    foreseen = [estimate.seconds_of(cell) for cell in estimate.cells]
    assert [work.foreseen[id(cell)] for cell in plan.cells] == pytest.approx(foreseen)
    items = [work.queue.take(None, {}, 0.0) for _ in range(len(work.queue))]
    assert sum(item.cost for item in items if item) == pytest.approx(estimate.seconds)
