"""A real engine, shared by the tests of a module. It runs in this process, where a start costs seconds; one test spawns it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VLLM = pytest.importorskip("vllm", reason="vLLM is not installed; `make setup-vllm` does it")

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
