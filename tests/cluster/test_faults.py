"""What may go wrong on the way: rows that kill, workers that hang, machines that have something else, drivers that die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cluster import RayExecutor
from ropepp_eval.errors import Interrupted, UserError
from ropepp_eval.positions import registry
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.execute import run
from tests.cluster.tools import (
    Breaking,
    manifest_of,
    processes_with,
    stored,
    until,
    worker_processes,
)

DEADLY = '''
import os, pathlib, signal, sys, time
from dataclasses import dataclass
from ropepp_eval.positions import Position, position

@position("deadly")
@dataclass(frozen=True, kw_only=True)
class Deadly(Position):
    """Kills its process beyond 1,100 tokens; falls asleep the first time that it reads a short prompt."""

    def tables(self, positions, frequencies):
        if int(positions.max()) > 1100:
            print("so many tokens are the death of me", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if 100 < int(positions.max()) < 450 and not pathlib.Path(MARKER).exists():
            pathlib.Path(MARKER).touch()
            time.sleep(1e5)
        return ()
'''
CELL: dict[str, Any] = {
    "tasks": "niah_single_1",
    "samples": 2,
    "dtype": "float32",
    "offline": True,
    "device": "cpu",
    "quiet": True,
}


def ray_here(address: str, **settings: Any) -> RayExecutor:
    return RayExecutor(ray_address=address, cpus_per_worker=1, **settings)


def test_a_row_that_kills_fails_and_a_worker_that_hangs_is_replaced(
    address: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """One of three rows kills whoever is asked it, another one hangs once; all others are answered."""
    module = tmp_path / "deadly.py"
    module.write_text(DEADLY.replace("MARKER", repr(str(tmp_path / "slept"))))
    out = tmp_path / "out"
    config = RunConfig.of(
        tiny_checkpoint,
        out=out,
        position="deadly",
        position_module=str(module),
        lengths="512,1k,2k",
        **{**CELL, "samples": 1},
    )
    try:
        finished = run(config, executor=ray_here(address, patience_seconds=10))
    finally:
        registry._REGISTRY.pop("deadly", None)
    rows = {row["length_tokens"]: row for row in stored(out).values()}
    assert {length: row["error"] is None for length, row in rows.items()} == {512: True, 1024: True, 2048: False}
    error = rows[2048]["error"]
    assert (error["stage"], error["type"]) == ("worker", "WorkerLost")
    assert "3 workers were lost over it" in error["message"]
    assert "its log ends: " in error["message"]
    assert "so many tokens are the death of me" in error["message"]
    assert rows[2048]["scores"] is None
    assert (finished.outcome.status, finished.outcome.failed) == ("success", 1)
    (events,) = manifest_of(out)["events"].values()
    assert sum("was lost while tiny, niah_single_1 at 2k" in event for event in events) == 3
    assert sum("it gave no sign for" in event for event in events) == 1
    assert sum(event.endswith("; 1 row given up") for event in events) == 1
    assert until(lambda: not worker_processes(), 10)


@pytest.mark.parametrize("what", ["weights", "tokenizer", "release"])
def test_a_worker_that_has_something_else_is_refused(
    what: str, address: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed after the plan, as if the worker's machine had had it otherwise all along."""
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))

    def change() -> None:
        if what == "weights":
            content = bytearray((folder / "model.safetensors").read_bytes())
            content[-2] ^= 1
            (folder / "model.safetensors").write_bytes(content)
        elif what == "tokenizer":
            content = json.loads((folder / "tokenizer.json").read_text())
            content["model"]["merges"] = content["model"]["merges"][:-1]
            (folder / "tokenizer.json").write_text(json.dumps(content))
        else:
            monkeypatch.setattr("ropepp_eval.cluster.dispatch.code_sha256", lambda: "another")

    class Changing(RayExecutor):
        def open(self, plan: Any) -> None:
            super().open(plan)
            change()

    said = {
        "weights": "the files of the checkpoint are not what they were",
        "tokenizer": "the tokenizer is another one",
        "release": "another release or other code of ropepp-eval",
    }[what]
    with pytest.raises(UserError, match=f"no worker can go on: node .* is refused: .*{said}"):
        run(
            RunConfig.of(folder, out=tmp_path / "out", lengths="512", **CELL),
            executor=Changing(ray_address=address, cpus_per_worker=1),
        )
    assert not stored(tmp_path / "out")


def test_a_path_that_a_node_lacks_is_named_before_anything_runs(
    address: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All nodes of the tests are this machine, so it is asked for what is nowhere."""
    monkeypatch.setattr("ropepp_eval.cluster.admission.here_or_named", lambda name: str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"node \S+ has no \S+/elsewhere; .*copy it there"):
        run(RunConfig.of(tiny_checkpoint, out=tmp_path / "out", lengths="512", **CELL), executor=ray_here(address))
    assert not (tmp_path / "out").exists()


def test_a_driver_that_is_interrupted_keeps_its_rows_and_goes_on(
    address: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    config = RunConfig.of(tiny_checkpoint, out=tmp_path / "out", lengths="512,1k", **CELL)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="the same command goes on"):
        run(config, executor=Breaking({2: interrupt}, ray_address=address, cpus_per_worker=1))
    assert until(lambda: not worker_processes(), 10)
    assert manifest_of(tmp_path / "out")["status"] == "cancelled"
    there = stored(tmp_path / "out")
    assert len(there) == 2
    run(config, executor=ray_here(address, workers=1))
    assert there.items() <= stored(tmp_path / "out").items()
    assert len(stored(tmp_path / "out")) == 4


AGENTS = (b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
"""Of Ray's: they hold no model, and where nobody stopped them they look for the head that died with the driver for a minute before they end."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_on_this_machine_leaves_no_process(number: signal.Signals, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of the terminal; a driver that is killed takes its workers with it. The run goes on afterwards."""
    out, marker = tmp_path / "out", f"ROPEPP_EVAL_TEST={os.getpid()}-{number}-{time.time_ns()}"
    name, _, value = marker.partition("=")
    cells = [
        "--tasks",
        "niah_single_1",
        "--lengths",
        "512,4k",
        "--samples",
        "20",
        "--dtype",
        "float32",
        "--offline",
        "--quiet",
    ]
    command = [
        "run",
        str(tiny_checkpoint),
        *cells,
        "--out",
        str(out),
        "--on",
        "ray",
        "--workers",
        "1",
        "--cpus-per-worker",
        "1",
    ]
    with (tmp_path / "printed").open("w") as printed, (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ropepp_eval", *command],
            stdout=printed,  # files: what outlives the driver would hold a pipe open
            stderr=said,
            start_new_session=True,
            env={**os.environ, name: value},
        )
    assert until(lambda: len(stored_lines(out)) >= 2 or process.poll() is not None, 240)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(timeout=60)
    if number == signal.SIGINT:
        assert (process.returncode, (tmp_path / "printed").read_text()) == (130, "")
        last = (tmp_path / "said").read_text().splitlines()[-1]
        assert last == f"interrupted: finished rows are in {out}; the same command goes on from there"
    rays_own = AGENTS if number == signal.SIGKILL else ()
    assert until(lambda: not processes_with(marker, but=rays_own), 10), "processes are left"
    lines = stored_lines(out)
    assert 2 <= len(lines) < 40
    if number == signal.SIGINT:
        assert main_quietly([*command[: command.index("--on")], "--format", "none"]) == 0
        assert stored_lines(out)[: len(lines)] == lines or set(lines) <= set(stored_lines(out))
        assert len(stored(out)) == 40


def stored_lines(out: Path) -> list[bytes]:
    return [line for path in sorted(out.glob("rows/*/*.jsonl")) for line in path.read_bytes().split(b"\n")[:-1]]


def main_quietly(arguments: list[str]) -> int:
    from ropepp_eval.cli import main

    return main(arguments)
