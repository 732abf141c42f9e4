"""A run on three nodes is the run of one process: the table to the byte, the rows one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.cluster import RayExecutor
from ropepp_eval.cluster.nodes import living_nodes
from ropepp_eval.reports.run_status import StatusReader
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.execute import run
from ropepp_eval.worker_states import NAME, read_states
from tests.cluster.tools import Breaking, kill_a_worker, manifest_of, stored, timeless, until, worker_processes

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = [str(ROOT / "models" / "demo" / name) for name in ("rope", "ropepp_eh", "fope")]
CELLS: dict[str, Any] = {
    "tasks": "niah_single_1,niah_multikey_1,wikitext_positions", "lengths": "512,1k,2k", "samples": 2, "dtype": "float32",
    "offline": True, "allow_beyond_trained_length": True, "device": "cpu",
}  # fmt: skip


def config(out: Path, **changes: Any) -> RunConfig:
    return RunConfig.of(*CHECKPOINTS, out=out, quiet=True, **{**CELLS, **changes})


def table(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["table", str(out), "--counts", "rows,failed,cut"]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run(config(out))
    return out


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, cluster: Any, address: str) -> tuple[Path, dict[str, Any]]:
    """The same run on the cluster, in the middle of which a worker is killed, a node comes and another one goes. Also what was seen."""
    out = tmp_path_factory.mktemp("broken") / "run"
    seen: dict[str, Any] = {}

    def look() -> None:
        seen["rows"] = stored(out)
        seen["status"] = StatusReader().read([out])[0]
        kill_a_worker()

    def swap_nodes() -> None:
        goes = next(iter(cluster.worker_nodes))  # not the one that comes: the run must have seen it
        seen["new"] = cluster.add_node(num_cpus=1)
        cluster.remove_node(goes, allow_graceful=False)
        assert until(lambda: goes.node_id not in {node.id for node in living_nodes()}, 60), (
            "the run might end before Ray knows"
        )

    finished = run(
        config(out), executor=Breaking({6: look, 14: kill_a_worker, 22: swap_nodes}, ray_address=address, cpus_per_worker=1)
    )
    assert finished.outcome.status == "success"
    return out, seen


def test_the_table_is_equal_to_the_byte(alone: Path, broken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(broken[0], capsys) == table(alone, capsys)


def test_every_row_is_there_once_and_equal(alone: Path, broken: Any) -> None:
    rows = timeless(stored(broken[0]))
    assert rows == timeless(stored(alone))
    assert len(rows) == len(CHECKPOINTS) * 9 * 2


def test_what_was_stored_before_a_worker_died_was_not_asked_again(broken: Any) -> None:
    out, seen = broken
    assert len(seen["rows"]) >= 6
    assert seen["rows"].items() <= stored(out).items(), "seconds and checksums included"


def test_what_happened_is_in_the_manifest(alone: Path, broken: Any) -> None:
    manifest = manifest_of(broken[0])
    said = " ".join(event for events in manifest["events"].values() for event in events)
    assert said.count("was lost while") >= 3
    for word in ("process ", "asked again", "joined", "left"):
        assert word in said
    assert manifest["ran"].keys() == manifest_of(alone)["ran"].keys()
    assert manifest["identity"] == manifest_of(alone)["identity"]
    assert manifest["status"] == "success"


def test_workers_are_seen_while_they_work_and_gone_afterwards(broken: Any) -> None:
    out, seen = broken
    status = seen["status"]
    assert status.state == "running"
    assert 1 <= len(status.workers) <= 2
    assert any("of" in worker.doing and "rows" in worker.doing for worker in status.workers)
    assert any(worker.name in note for worker in status.workers for note in status.notes)
    assert [worker["name"] for worker in status.as_json()["workers"]] == [worker.name for worker in status.workers]
    assert not (out / NAME).exists()
    assert read_states(out).workers == ()
    assert until(lambda: not worker_processes(), 10), "Ray ends them at its own pace"


def test_the_run_goes_on_in_one_process_and_back(alone: Path, broken: Any, address: str, tmp_path: Path) -> None:
    """Where rows were answered is no part of what they are: nothing is asked when nothing is missing, wherever."""
    out = broken[0]
    before = stored(out)
    assert run(config(out)).outcome.status == "success"
    assert run(config(alone), executor=RayExecutor(ray_address=address)).outcome.status == "success"
    assert stored(out) == before
    assert len(manifest_of(out)["history"]) == 1


def test_a_damaged_file_of_states_is_no_state(tmp_path: Path) -> None:
    for content in ("{", "[]", json.dumps({"workers": [{"name": 1}]})):
        (tmp_path / NAME).write_text(content)
        assert read_states(tmp_path).workers == ()
