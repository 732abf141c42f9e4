"""A real engine. It runs in this process, where a start costs seconds; the tests of spawned engines say so."""

from __future__ import annotations

import gc
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PRESENT = importlib.util.find_spec("vllm") is not None
if PRESENT:
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


def pytest_configure(config: pytest.Config) -> None:
    """vLLM's own imports warn; the process that only hands tests to workers has no need of them."""
    if PRESENT and not config.getoption("numprocesses", None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import vllm  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder, with the reason, where vLLM is missing."""
    skip = pytest.mark.skip(reason="vLLM is not installed; `make setup-vllm` does it")
    for item in items:
        if not PRESENT and HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def collected_once_an_engine() -> Iterator[None]:
    """What is there before an engine is left out when Python looks for circles: vLLM has it look eight times an engine, 0.6 s each among
    all that is imported, and takes everything in again (`gc.unfreeze`) before half of them."""
    if not PRESENT:
        yield
        return
    from ropepp_eval.adapters.vllm.engine import Engine

    begin, freeze = Engine.__init__, gc.freeze

    def begin_among_few(self: Engine, *arguments: Any, **settings: Any) -> None:
        gc.collect()
        freeze()
        begin(self, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "__init__", begin_among_few)
        patch.setattr(gc, "freeze", lambda: None)
        patch.setattr(gc, "unfreeze", lambda: None)
        yield
