"""Rows are the same in one process and in several."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.rows import workers
from ropepp_eval.tasks.ruler.build import build_rows
from tests.rows.small_requests import small_request

REQUEST = small_request("niah_multikey_3", length_tokens=2048, samples=10)


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEPP_EVAL_WORKERS", "2")
    monkeypatch.setattr(workers, "_FEWEST_TOKENS", 0)


@pytest.mark.usefixtures("two_workers")
def test_rows_are_the_same_in_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [row.sha256 for row in build_rows(REQUEST)]
    too_short = replace(REQUEST, length_tokens=300)
    with pytest.raises(UserError) as from_several:
        build_rows(too_short)
    monkeypatch.setenv("ROPEPP_EVAL_WORKERS", "1")
    assert several == [row.sha256 for row in build_rows(REQUEST)]
    with pytest.raises(UserError) as from_one:
        build_rows(too_short)
    assert str(from_several.value) == str(from_one.value)


def test_a_script_without_a_main_guard_builds_with_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from tests.rows.test_workers import REQUEST, build_rows, workers
            print("started")
            workers._FEWEST_TOKENS = 0
            print(len(build_rows(REQUEST)), len(workers._open))
            """
        ),
        encoding="utf-8",
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(root), "ROPEPP_EVAL_WORKERS": "2", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.split("\n")[:2] == ["started", "10 1"], done.stderr


def test_broken_workers_leave_the_work_to_this_process(two_workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [row.sha256 for row in build_rows(replace(REQUEST, samples=3))]

    def broken(*_: object) -> None:
        raise workers.BrokenProcessPool("gone")

    monkeypatch.setattr(workers, "_in_pool", broken)
    assert [row.sha256 for row in build_rows(replace(REQUEST, samples=3))] == expected
