"""Which runs a folder stands for: those in it at any depth, each once."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.reports.sources import find_runs
from tests.reports.results_folders import FakeCell, write_run


def test_runs_are_found_at_any_depth(tmp_path: Path) -> None:
    """A folder of runs may be sorted into folders: none is left out without a word."""
    runs = [write_run(tmp_path / name, [FakeCell(checkpoint="a")]) for name in ("16k/pi/a", "16k/yarn", "8k")]
    assert find_runs([tmp_path]) == runs
    assert find_runs([tmp_path / "16k", runs[0], tmp_path]) == runs


def test_what_lies_inside_a_run_is_not_another(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="a")])
    write_run(run / "copy", [FakeCell(checkpoint="b")])
    assert find_runs([tmp_path]) == find_runs([run]) == [run]


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "elsewhere/run", [FakeCell(checkpoint="a")])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/linked").symlink_to(run)
    (tmp_path / "runs/circle").symlink_to(tmp_path / "runs")
    assert find_runs([tmp_path / "runs"]) == [tmp_path / "runs/linked"]
