"""What a run foresees of its cells, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.reports.run_status import StatusReader


def test_a_run_writes_what_it_foresaw_and_status_goes_by_it(first: Path, tmp_path: Path) -> None:
    manifest = json.loads((first / "run.json").read_text())
    foreseen = [cell["foreseen_seconds"] for cell in manifest["cells"]]
    assert len(foreseen) == 3
    assert all(seconds > 0 for seconds in foreseen)
    (tmp_path / "run.json").write_text(json.dumps(manifest))  # the same run before its first row
    (tmp_path / "rows").mkdir()
    (found,) = StatusReader().read([tmp_path])
    assert found.seconds_left == pytest.approx(sum(foreseen))
