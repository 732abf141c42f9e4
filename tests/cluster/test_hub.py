"""A checkpoint of the hub on a node that has a cache of its own: fetched once, however many workers it has, at the commit of the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cluster import RayExecutor
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.execute import run
from tests.cluster.tools import manifest_of
from tests.hub.loopback import Repository, loopback_hub

NAME = "owner/Tiny"
CELLS: dict[str, Any] = {
    "tasks": "niah_single_1",
    "lengths": "512,1k",
    "samples": 4,
    "dtype": "float32",
    "device": "cpu",
    "quiet": True,
}


def test_a_node_fetches_a_checkpoint_once_at_the_commit_of_the_plan(
    cluster: Any, address: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    files = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir() if path.is_file()}
    with loopback_hub() as hub:
        hub.repositories[NAME] = Repository(files)
        newer = Repository({**files, "config.json": files["config.json"] + b"\n"}, sha="b2" * 20)

        class Planned(RayExecutor):
            """The branch moves between the plan and the first worker."""

            def answers(self, plan: Any, pending: Any, watch: Any) -> Any:
                hub.repositories[NAME].newer = newer
                yield from super().answers(plan, pending, watch)

        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "driver"))
        beside = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(tmp_path / "node")}
        node = cluster.add_node(num_cpus=4, env_vars=beside)
        try:
            finished = run(
                RunConfig.of(NAME, out=tmp_path / "out", **CELLS),
                executor=Planned(ray_address=address, cpus_per_worker=2),  # no other node has room for such a worker
            )
        finally:
            cluster.remove_node(node)
    assert finished.outcome.status == "success"
    assert "events" not in manifest_of(tmp_path / "out"), "no worker was refused or lost"
    assert [path.name for path in (tmp_path / "node").glob("*/snapshots/*")] == [hub.repositories[NAME].sha]
    assert hub.sent["model.safetensors"] == 2 * len(files["model.safetensors"]), "once by the driver, once on the node"
