"""`run --on ray`: the executor of `runs.answering` whose rows are answered by workers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ropepp_eval.checkpoints.shared_heads import check_shared_heads
from ropepp_eval.cluster.admission import Admission
from ropepp_eval.cluster.dispatch import Dispatch
from ropepp_eval.cluster.library import connected, require_ray, untested_release
from ropepp_eval.cluster.nodes import Needs, living_nodes, needs_of
from ropepp_eval.cluster.staff import Staff
from ropepp_eval.cluster.work import Work
from ropepp_eval.errors import UserError

if TYPE_CHECKING:
    from ropepp_eval.runs.answering import Answered, Pending
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.plan import Plan
    from ropepp_eval.runs.watch import Watch

PATIENCE_SECONDS = 300.0


class RayExecutor:
    """Workers on all devices of this machine, or of the cluster at an address.

    >>> ropepp_eval.evaluate("models/demo/rope", tasks="vt", lengths="1k", executor=RayExecutor(workers=2))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        ray_address: str | None = None,
        gpus_per_worker: int | None = None,
        cpus_per_worker: int | None = None,
        workers: int | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Set up, without Ray.

        Args:
            ray_address: HOST:PORT of a cluster that runs, or `auto`; None starts Ray on this machine.
            gpus_per_worker: GPUs of a worker, all on one node; None: one where there are GPUs, or as many as share the heads.
            cpus_per_worker: cores and threads of a worker without a GPU; None: four at most.
            workers: at most; None: as many as there is room for.
            patience_seconds: a worker that is silent for longer, and for much longer than its rows should take, is replaced.

        Raises:
            UserError: a number is below 1, both kinds of device are asked for, or Ray is not installed.
        """
        numbers = {"gpus_per_worker": gpus_per_worker, "cpus_per_worker": cpus_per_worker, "workers": workers}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise UserError(f"--{name.replace('_', '-')} {number} is below 1; give a whole number, or leave it out")
        if gpus_per_worker is not None and cpus_per_worker is not None:
            raise UserError("--gpus-per-worker and --cpus-per-worker are two kinds of worker; give one of the two")
        self._address, self._gpus, self._cpus, self._most = ray_address, gpus_per_worker, cpus_per_worker, workers
        self._patience = patience_seconds
        self._open = contextlib.ExitStack()
        self._connected, self._dashboard = False, ""
        self._admission: Admission | None = None
        require_ray()

    def prepare(self, config: RunConfig) -> RunConfig:
        """With an address, the device that its workers have. Ray on this machine is started only when rows are to be asked.

        Raises:
            UserError: there is no cluster, no node has room for a worker, or one GPU of this machine is named.
        """
        if ":" in config.device:
            raise UserError(
                f"device {config.device!r} names one GPU; with --on ray each worker has its own: give --device cuda"
            )
        tensor_parallel = int(dict(config.adapter_options).get("tensor_parallel_size") or 1)
        if self._gpus is not None and self._gpus < tensor_parallel:
            raise UserError(
                f"--gpus-per-worker {self._gpus} is fewer than --tensor-parallel-size {tensor_parallel}; give as many, or leave it out"
            )
        if self._address is None:
            return config
        self._connect()
        needs = self._needed(config)
        kind = "cuda" if needs.gpus else "cpu"
        if config.device not in ("auto", kind):
            raise UserError(
                f"device {config.device!r}: workers of {needs} each run on {kind}; leave --device out, or give --gpus-per-worker"
            )
        return replace(config, device=kind, elsewhere=True)

    def open(self, plan: Plan) -> None:
        """Ray, with every node looked at: has it room, and what the plan names?

        Raises:
            UserError: Ray can't start, no node has room, heads can't be shared, or a node lacks a path or the memory for its workers.
        """
        check_heads(plan)
        self._connect()
        needs = self._needed(plan.config, kind=next(iter(plan.computations.values()))["device"])
        self._admission = Admission(plan, needs)
        self._admission.check(living_nodes(), self._most)

    def close(self) -> None:
        """Leave the cluster; Ray that was started here ends with all its processes."""
        self._open.close()
        self._connected = False

    def answers(self, plan: Plan, pending: Sequence[Pending], watch: Watch) -> Answered:
        """See `runs.answering.Executor`."""
        admission = self._admission
        assert admission is not None
        if said := untested_release():
            watch.say(f"note: {said}")
        pending = [one for one in pending if one[1]]
        if not pending:
            return
        room = sum(map(admission.room, living_nodes()))
        work = Work(plan, pending, max(1, min(room, self._most or room)), admission.forecaster())
        staff = Staff(admission, watch, most=self._most, offline=plan.config.offline, dashboard=self._dashboard)
        yield from Dispatch(work, staff, watch, patience_seconds=self._patience).rows()

    def _connect(self) -> None:
        if not self._connected:
            self._dashboard = self._open.enter_context(connected(self._address))
            self._connected = True

    def _needed(self, config: RunConfig, kind: str = "") -> Needs:
        tensor_parallel = int(dict(config.adapter_options).get("tensor_parallel_size") or 1)
        cpus = self._cpus
        if self._gpus is None and cpus is None and "cpu" in (kind, config.device):
            cpus = needs_of([replace(node, gpus=0) for node in living_nodes()], gpus=None, cpus=None, tensor_parallel=1).cpus
        return needs_of(living_nodes(), gpus=self._gpus, cpus=cpus, tensor_parallel=tensor_parallel)


def check_heads(plan: Plan) -> None:
    """Raise UserError where a worker's GPUs can't share a checkpoint's key/value heads evenly."""
    parts = int(dict(plan.config.adapter_options).get("tensor_parallel_size") or 1)
    for checkpoint in plan.checkpoints:
        check_shared_heads(checkpoint.info.key_value_heads, parts, checkpoint.label, "--tensor-parallel-size")
