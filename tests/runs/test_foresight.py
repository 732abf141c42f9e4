"""What a run foresees of its cells, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.reports.run_status import StatusReader
from ropepp_eval.runs import foresight


def _run(checkpoint: Path, out: Path) -> list[dict[str, object]]:
    arguments = [
        "--tasks",
        "niah_single_1",
        "--lengths",
        "512,1k",
        "--samples",
        "2",
        "--offline",
        "--quiet",
        "--format",
        "none",
    ]
    assert main(["run", str(checkpoint), *arguments, "--device", "cpu", "--out", str(out)]) == 0
    cells: list[dict[str, object]] = json.loads((out / "run.json").read_text())["cells"]
    return cells


def test_a_run_writes_what_it_foresaw_and_status_goes_by_it(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "WORTH_MEASURING_SECONDS", 0.0)
    foreseen = [cell["foreseen_seconds"] for cell in _run(tiny_checkpoint, tmp_path / "run")]
    assert len(foreseen) == 2
    assert all(isinstance(seconds, float) and seconds > 0 for seconds in foreseen)
    (tmp_path / "before" / "rows").mkdir(parents=True)  # the same run before its first row
    (tmp_path / "before" / "run.json").write_text((tmp_path / "run" / "run.json").read_text())
    (found,) = StatusReader().read([tmp_path / "before"])
    assert found.seconds_left == pytest.approx(sum(foreseen))  # type: ignore[arg-type]


def test_a_run_of_seconds_is_not_measured(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert not any("foreseen_seconds" in cell for cell in _run(tiny_checkpoint, tmp_path / "run"))
