"""What a user can get wrong about workers: one line, status 2, nothing written, nothing left running."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.adapters.memory import available_memory
from ropepp_eval.cli import main
from ropepp_eval.cluster import RayExecutor
from ropepp_eval.cluster.admission import Admission
from ropepp_eval.cluster.library import untested_release
from ropepp_eval.cluster.nodes import Needs, living_nodes
from ropepp_eval.forecasts.memory import SCORE_BYTES
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.plan import build_plan
from ropepp_eval.runs.store import RunStore


@pytest.fixture
def refused(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs with these further arguments and gives the one line that was said."""

    def refusal(*more: str, out: Path = tmp_path / "out", writes: bool = False) -> str:
        capsys.readouterr()
        cell = ["--tasks", "niah_single_1", "--lengths", "512", "--samples", "1", "--offline", "--out", str(out)]
        assert main(["run", str(tiny_checkpoint), *cell, *more]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert writes or not (out / "run.json").exists()
        return errors[0]

    return refusal


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--on", "moon"], "unknown place 'moon'"),
        (["--workers", "2"], "--workers is about workers of Ray; add --on ray"),
        (["--ray-address", "auto"], "--ray-address is about workers of Ray; add --on ray"),
        (["--on", "ray", "--workers", "0"], "workers is 0; it must be"),
        (["--on", "ray", "--gpus-per-worker", "-1"], "gpus_per_worker is -1; it must be"),
        (["--on", "ray", "--gpus-per-worker", "1", "--cpus-per-worker", "1"], "give one of the two"),
        (["--on", "ray", "--device", "cuda:1"], "device 'cuda:1' names one GPU"),
        (["--on", "ray", "--ray-address", "nowhere"], "ray address 'nowhere' is none; give HOST:PORT"),
        (["--on", "ray", "--ray-address", "ray://head:10001"], "through which rows can't stream"),
        (["--shard", "9/8"], "shard '9/8' is none; give its number and how many there are, such as --shard 2/8"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_can_not_be(more: list[str], said: str, refused: Any) -> None:
    assert said in refused(*more)


def test_no_cluster_at_the_address(deaf_port: int, refused: Any) -> None:
    address = f"127.0.0.1:{deaf_port}"
    assert f"no Ray cluster at {address} (" in refused("--on", "ray", "--ray-address", address)


@pytest.mark.parametrize(
    ("says", "reason"),
    [(b"", "timed out"), (b"SSH-2.0-server\r\n", "something else"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else")],
    ids=["nothing", "ssh", "http"],
)
def test_something_else_at_the_address(says: bytes, reason: str, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropepp_eval.cluster.library.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        spoken: list[socket.socket] = []

        def speak() -> None:
            spoken.append(server.accept()[0])
            spoken[0].sendall(says)

        speaker = threading.Thread(target=speak)
        speaker.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = refused("--on", "ray", "--ray-address", address)
        speaker.join()
        spoken[0].close()
    assert f"no Ray cluster at {address} (" in said
    assert reason in said


def test_more_than_a_node_has(address: str, refused: Any) -> None:
    on = ("--on", "ray", "--ray-address", address)
    assert "a worker of 2 GPUs fits on no node: the largest has 0" in refused(*on, "--gpus-per-worker", "2")
    assert "a worker of 64 cores fits on no node: the largest has 1; give --cpus-per-worker up to that" in refused(
        *on, "--cpus-per-worker", "64"
    )
    assert "workers of 1 core each run on cpu; leave --device out" in refused(
        *on, "--device", "cuda", "--cpus-per-worker", "1"
    )


def test_workers_that_do_not_fit_in_the_memory_of_their_node(
    address: str, tiny_checkpoint: Path, tmp_path: Path, refused: Any
) -> None:
    """Eager attention keeps all scores, so a length is found that takes most of what is free: one worker fits, and on the one machine of
    both nodes no second one. Of a longer one not even one does."""
    free = available_memory()
    assert free
    length = int((0.7 * free / (SCORE_BYTES * 4)) ** 0.5)  # four heads
    eager = {"attention": "eager", "allow_beyond_trained_length": True, "adapter_options": {"chunk_tokens": 2 * length}}
    on = ("--on", "ray", "--ray-address", address, "--cpus-per-worker", "1")
    asked = ("--attention", "eager", "--allow-beyond-trained-length", "--chunk", str(2 * length))
    said = refused(*on, *asked, "--lengths", str(length))
    assert re.search(
        r"2 workers on node \S+ do not fit in the [\d.]+ GiB that are free there \(each: checkpoint \S+ with niah_single_1 at \S+, "
        r"expected peak [\d.]+ GiB \(.*\)\); give --workers 1$",
        said,
    )
    config = RunConfig.of(
        tiny_checkpoint, tasks="niah_single_1", lengths=length, samples=1, offline=True, out=tmp_path / "one", **eager
    )
    with contextlib.closing(RayExecutor(ray_address=address, cpus_per_worker=1, workers=1)) as one:
        plan = build_plan(one.prepare(config))
        one.open(plan)
        admission, (node, *_) = Admission(plan, Needs(1, 0)), [node for node in living_nodes() if node.cpus]
        assert admission.join(replace(node, cpus=9)) == ""
        assert admission.room(replace(node, cpus=9)) == 1, "a node that comes later gets as many as fit"
    said = refused(*on, *asked, "--lengths", str(int(1.4 * length)))
    assert re.search(
        r"on a worker of node \S+ at \S+ does not fit in memory: .*; read in smaller chunks \(--chunk \d+\)$", said
    )


def test_an_output_that_can_not_be_written(address: str, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "file").touch()
    on = ("--on", "ray", "--ray-address", address)
    assert "is a file; name a folder with --out" in refused(*on, out=tmp_path / "file")


def test_two_drivers_on_one_folder(address: str, tmp_path: Path, refused: Any) -> None:
    out = tmp_path / "out"
    with RunStore.open(out, {"format": 2, "tasks": {}, "cells": [], "identity": {"checkpoints": {}, "seed": 42}}):
        said = refused("--on", "ray", "--ray-address", address, "--cpus-per-worker", "1", out=out, writes=True)
    assert "is being written by another process" in said


def test_ray_that_is_missing_names_the_extra(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: None if name == "ray" else find(name, *more))
    assert "pip install 'ropepp-eval[ray]'" in refused("--on", "ray")


def test_another_release_of_ray_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    for version, said in (("2.60.0", False), ("2.60.3", False), ("2.6.0", True), ("2.600.0", True), ("3.0.0", True)):
        monkeypatch.setattr(ray, "__version__", version)
        assert (untested_release() is not None) == said
