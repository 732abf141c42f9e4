"""Table 2's command as `benchmarks/published_walk.py` walks it: fetched, killed, gone on with, printed and reported, with tiny shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "published_walk.py"


@pytest.mark.slow
def test_the_walk_ends_with_every_cell_filled_and_its_figures() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["name"], found["ok"], found["quick"]) == ("published_walk", True, True)
    assert [step["name"] for step in found["steps"]] == [
        "plan for a GPU", "run, killed in the middle", "resumed", "table", "report",
    ]  # fmt: skip
    assert all(step["seconds"] > 0 and step["peak_gib"] > 0 for step in found["steps"])
    assert found["steps"][-1]["disk_gib"]["table2"] > 0
    assert "RoPE++_EC" in done.stdout
    assert "17.7" in done.stdout  # published for RoPE at 2k of BABILong
