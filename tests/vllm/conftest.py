"""A real engine. It runs in this process, where a start costs seconds; the tests of spawned engines say so."""

from __future__ import annotations

import gc
import importlib.util
import os
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PRESENT = importlib.util.find_spec("vllm") is not None
if PRESENT:
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    with warnings.catch_warnings():  # vLLM's own imports warn
        warnings.simplefilter("ignore")
        import vllm  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder, with the reason, where vLLM is missing."""
    skip = pytest.mark.skip(reason="vLLM is not installed; `make setup-vllm` does it")
    for item in items:
        if not PRESENT and HERE in item.path.parents:
            item.add_marker(skip)


def pytest_runtest_setup() -> None:
    """What is there before a test is left out when Python looks for circles: vLLM has it look eight times an engine, 0.6 s each."""
    gc.freeze()
