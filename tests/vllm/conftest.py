"""A real engine. It runs in this process, where a start costs seconds; the tests of spawned engines say so."""

from __future__ import annotations

import os
import warnings

import pytest

with warnings.catch_warnings():  # vLLM's own imports warn
    warnings.simplefilter("ignore")
    pytest.importorskip("vllm", reason="vLLM is not installed; `make setup-vllm` does it")

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
