"""A worker on Ray with vLLM's engine answers as the native adapter does in one process."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `make setup-ray` does it"
)


def texts(out: Path) -> dict[tuple[str, int], Any]:
    lines = [json.loads(line) for path in out.glob("rows/*/*.jsonl") for line in path.read_text().splitlines()]
    assert all(line["error"] is None for line in lines), [line["error"] for line in lines]
    return {(line["task"], line["row"]): line["responses"] for line in lines}


def test_a_worker_with_vllm_answers_as_natively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    model = Path(__file__).resolve().parents[2] / "models" / "demo" / "ropepp_ec"
    cells = ["--tasks", "niah_single_1", "--lengths", "256", "--samples", "3", "--dtype", "float32", "--offline", "--quiet"]
    on_ray = ["--backend", "vllm", "--on", "ray", "--workers", "1", "--cpus-per-worker", "1"]
    for out, more in (("native", []), ("vllm", on_ray)):
        assert main(["run", str(model), *cells, "--format", "none", "--out", str(tmp_path / out), *more]) == 0
    assert texts(tmp_path / "vllm") == texts(tmp_path / "native")
    ran = json.loads((tmp_path / "vllm" / "run.json").read_text())["ran"]["ropepp_ec"]
    assert (ran["attention"], ran["device"]) == ("vllm", "cpu")
