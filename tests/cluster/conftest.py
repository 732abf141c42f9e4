"""One real Ray cluster for all tests of this folder in a process: a head without room for workers, and nodes of one core each."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PRESENT = importlib.util.find_spec("ray") is not None
NEEDS_RAY = ("test_runs.py", "test_faults.py", "test_hub.py", "test_local.py", "test_refusals.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Ray, with the reason, where it is missing."""
    skip = pytest.mark.skip(reason="Ray is not installed; `make setup-ray` does it")
    for item in items:
        if HERE in item.path.parents and item.path.name in NEEDS_RAY:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            if not PRESENT:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def quiet_ray() -> None:
    """No token in the home folder, nothing sent home, one thread in every process."""
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")


@pytest.fixture(scope="session")
def cluster(quiet_ray: None) -> Iterator[Any]:
    """Three nodes, two of which have room for one worker each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        try:
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture(scope="session")
def address(cluster: Any) -> str:
    return str(cluster.address)
