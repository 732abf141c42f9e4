"""`run --dry-run`: what it prints, and what it refuses; nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ropepp_eval.cli import main

TASKS = ["--tasks", "niah_single_1,openbookqa", "--lengths", "1k", "--samples", "3", "--offline", "--device", "cpu"]


def printed(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> tuple[str, str]:
    assert main(["run", *arguments]) == status
    out, err = capsys.readouterr()
    return out, err


def test_it_prints_cells_rows_tokens_disk_memory_and_time_in_80_columns_and_writes_nothing(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = printed(capsys, 0, str(tiny_checkpoint), *TASKS, "--dry-run", "--out", str(tmp_path / "out"))
    lines = out.splitlines()
    assert lines[0].split() == ["checkpoint", "cells", "rows", "tokens", "disk", "memory", "time"]
    assert lines[1].split()[:3] == ["tiny", "2", "6"]
    assert lines[1].rstrip().endswith(" s")
    assert "GiB" in lines[1]
    assert "measured on this device" in out
    assert max(map(len, lines)) <= 80
    assert "measuring this device with tiny ..." in err
    assert list(tmp_path.iterdir()) == []


def test_a_named_device_is_taken_with_its_assumptions(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = printed(capsys, 0, str(tiny_checkpoint), *TASKS, "--dry-run", "--device-model", "H100")
    assert "assumed: NVIDIA H100 SXM:" in out
    assert "not measured on this device" in " ".join(out.split())
    assert "measuring" not in err
    assert max(map(len, out.splitlines())) <= 80


def test_a_schedule_of_workers_is_played_through(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_ray = (str(tiny_checkpoint), *TASKS, "--dry-run", "--device-model", "h100", "--on", "ray")
    out, _ = printed(capsys, 0, *on_ray, "--workers", "64")
    assert max(map(len, out.splitlines())) <= 80
    said = re.search(
        r"on 64 workers like it: .* from the first load to the last row, \d+% of their time in rows, (\d+) loads? of weights at 1 GB/s, "
        r"[\d.]+ device hours; the last worker ends [\d.]+% after the mean",
        " ".join(out.split()),
    )
    assert said
    assert 1 <= int(said[1]) <= 6, "six rows need no more workers"
    assert "say for how many workers with --workers N" in printed(capsys, 2, *on_ray)[1]


def test_a_model_that_does_not_fit_on_a_named_device_is_refused(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropepp_eval.forecasts.devices.MEMORY_SHARE", 1e-6)
    _, err = printed(capsys, 2, str(tiny_checkpoint), *TASKS, "--dry-run", "--device-model", "4090")
    assert "on NVIDIA RTX 4090 at 1k does not fit in memory" in err


def test_rows_that_are_there_are_not_counted_again(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    printed(capsys, 0, str(tiny_checkpoint), *TASKS, "--quiet", "--format", "none", "--out", out)
    before = sorted((path, path.stat().st_mtime_ns) for path in Path(out).rglob("*"))
    more = [*TASKS[:5], "4", *TASKS[6:]]
    said, _ = printed(capsys, 0, str(tiny_checkpoint), *more, "--dry-run", "--device-model", "a100", "--out", out)
    assert said.splitlines()[1].split()[:3] == ["tiny", "2", "2"]
    assert "6 rows of 8 are in" in said
    assert sorted((path, path.stat().st_mtime_ns) for path in Path(out).rglob("*")) == before
    said, _ = printed(capsys, 0, str(tiny_checkpoint), *TASKS, "--dry-run", "--device-model", "a100", "--out", out)
    assert said.startswith("nothing to do: all 6 rows are in")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dry-run", "--device-model", "b200"], "known are h100, h200, a100, 4090"),
        (["--device-model", "h100"], "add --dry-run"),
        (["--dry-run", "--backend", "vllm"], "knows the native engine only"),
    ],
)
def test_what_can_not_be_foreseen_is_one_line(
    arguments: list[str], said: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = printed(capsys, 2, str(tiny_checkpoint), *TASKS, *arguments, "--out", str(tmp_path / "out"), "--quiet")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = printed(capsys, 2, str(tmp_path / "gone"), *TASKS, "--dry-run", "--quiet")
    assert err.startswith("error: ")
    assert "gone" in err
    assert err.count("\n") == 1
