"""SIGKILL to workers and drivers of runs on Ray at random moments: `python -m tests.kills --ray`.

Three nodes on this machine, three tiny checkpoints, three tasks, three lengths. In one run workers are killed ten times, a node is removed
and one is added; then drivers are killed five times and the same command goes on. Both must come to the table of a run in one process, to
the byte, and to its rows; a row that was stored when something died must be there at the end as it was, its seconds included.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cluster.tools import kill_a_worker, stored, timeless, until, worker_processes
from tests.kills import table_of

_CELLS = ("--tasks", "niah_single_1,niah_multikey_1,wikitext_positions", "--lengths", "512,1k,2k", "--samples", "4", "--offline", "--dtype", "float32")  # fmt: skip
WORKER_KILLS, DRIVER_KILLS = 10, 5


def kill_on_ray(root: Path, stream: random.Random) -> dict[str, object]:
    """Give the figures; `ok` where all held."""
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster
    models = [str(path) for path in sorted((Path(__file__).resolve().parents[2] / "models" / "demo").iterdir())[:3]]
    begin = time.monotonic()
    _run(models, root / "alone")
    wanted, rows = table_of(root / "alone"), stored(root / "alone")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    wrong: list[str] = []
    figures: dict[str, object] = {"rows": len(rows)}
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        figures["workers"] = _workers_killed(models, root / "workers", cluster, len(rows), stream, wrong)
        figures["drivers"] = _drivers_killed(models, root / "drivers", str(cluster.address), len(rows), stream, wrong)
    finally:
        cluster.shutdown()
    for out in (root / "workers", root / "drivers"):
        wrong += [f"{out.name}: another table"] * (table_of(out) != wanted)
        wrong += [f"{out.name}: other rows"] * (timeless(stored(out)) != timeless(rows))
    return {**figures, "seconds": round(time.monotonic() - begin), "wrong": wrong, "ok": not wrong}


def _run(models: list[str], out: Path, *more: str) -> subprocess.Popen[bytes]:
    """A run that has ended, or with `more` one that goes on."""
    command = [sys.executable, "-m", "ropepp_eval", "run", *models, *_CELLS, "--allow-beyond-trained-length", "--quiet"]
    with open(f"{out}.log", "ab") as log:
        process = subprocess.Popen([*command, "--format", "none", "--out", str(out), *more], stderr=log)
    if not more and process.wait():
        raise RuntimeError(f"a run ended with an error: {Path(f'{out}.log').read_text()[-500:]}")
    return process


def _workers_killed(
    models: list[str], out: Path, cluster: Any, rows: int, stream: random.Random, wrong: list[str]
) -> dict[str, object]:
    moments = sorted(stream.sample(range(rows - 2), WORKER_KILLS))
    swap_at = stream.randrange(rows - 2)
    process = _run(models, out, "--on", "ray", "--ray-address", str(cluster.address), "--cpus-per-worker", "1")
    kept: dict[str, Any] = {}
    killed, swapped = 0, False
    while process.poll() is None:
        there = _stored(out)
        if not swapped and len(there) >= swap_at:
            cluster.add_node(num_cpus=1)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            swapped = True
        if moments and len(there) >= moments[0] and worker_processes():
            kept.update(there)
            kill_a_worker()
            moments.pop(0)
            killed += 1
        time.sleep(0.02)
    if process.returncode:
        wrong.append(f"{out.name}: status {process.returncode}: {Path(f'{out}.log').read_text()[-300:]}")
    wrong += [f"{out.name}: a stored row was asked again or lost"] * (not kept.items() <= stored(out).items())
    return {"killed": killed, "nodes swapped": swapped, "kept": len(kept)}


def _drivers_killed(
    models: list[str], out: Path, address: str, rows: int, stream: random.Random, wrong: list[str]
) -> dict[str, object]:
    kept: dict[str, Any] = {}
    moments: Counter[str] = Counter()
    for number in range(DRIVER_KILLS + 1):
        process = _run(models, out, "--on", "ray", "--ray-address", address, "--cpus-per-worker", "1")
        last = number == DRIVER_KILLS
        at = rows if last else stream.randrange(len(kept), min(rows - 1, len(kept) + rows // DRIVER_KILLS))
        until(lambda process=process, at=at: process.poll() is not None or len(_stored(out)) >= at, 600)
        if last:
            process.wait()
        elif process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments["before the first row" if not _stored(out) else "among the rows"] += 1
        wrong += [f"{out.name}: workers outlive their driver"] * (not until(lambda: not worker_processes(), 20))
        wrong += [f"{out.name}: a stored row was asked again or lost"] * (not kept.items() <= _stored(out).items())
        kept = _stored(out)
    return {"killed": sum(moments.values()), "moments": dict(moments)}


def _stored(out: Path) -> dict[str, Any]:
    """As `stored`, but of a run that writes meanwhile: a last line that is cut is left out."""
    lines = [line for path in out.glob("rows/*/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return {row["key"]: row for row in map(json.loads, lines)}
