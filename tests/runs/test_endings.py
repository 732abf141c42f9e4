"""How a run ends: by a signal, on a full or read-only disk, with no row scored, by a bug of ours."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.cli import main
from ropepp_eval.runs import execute
from ropepp_eval.runs.outcome import outcome_of
from ropepp_eval.runs.store import RunStore
from tests.stored import record
from tests.warm.start import Warm


def _arguments(checkpoint: Path, out: Path, *more: str, samples: int = 2) -> list[str]:
    cell = ["--tasks", "niah_single_1", "--lengths", "512", "--samples", str(samples), "--out", str(out)]
    return ["run", str(checkpoint), *cell, *more]


def _rows(out: Path) -> list[str]:
    return [line for path in sorted(out.glob("rows/*/*.jsonl")) for line in path.read_text().splitlines()]


def _status(out: Path) -> str:
    return str(json.loads((out / "run.json").read_text())["status"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_as_ctrl_c_does(
    number: signal.Signals, status: int, tiny_checkpoint: Path, tmp_path: Path, warm: Warm
) -> None:
    out = tmp_path / "out"
    process = warm.popen(
        *_arguments(tiny_checkpoint, out, "--quiet", samples=60),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # under nohup the tests themselves ignore SIGHUP, and so would the run
    deadline = time.monotonic() + 600
    while not _rows(out) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == status, said
    assert said == f"ended by {number.name}: finished rows are in {out}; the same command goes on from there\n"
    assert printed == ""
    assert _status(out) == "cancelled"
    assert 1 <= len(_rows(out)) < 60


def test_an_ignored_hangup_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("ropepp_eval.cli._dispatch", lambda given: os.kill(os.getpid(), signal.SIGHUP) or 0)
        assert main(["table"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("ropepp_eval.cli._dispatch", lambda given: os.kill(os.getpid(), signal.SIGTERM) or 0)
    assert main(["table"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_limit_on_file_sizes_is_a_full_disk(tiny_checkpoint: Path, tmp_path: Path, warm: Warm) -> None:
    """With the row cache on, which meets the limit first."""
    out = tmp_path / "out"
    arguments = _arguments(tiny_checkpoint, out, "--quiet", samples=20)
    full = subprocess.run(
        warm.command(*arguments), capture_output=True, text=True, env={**os.environ, "ROPEPP_EVAL_CACHE": str(tmp_path / "cache")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)),
    )  # fmt: skip
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert "`ulimit -f`" in full.stderr.splitlines()[-1]
    assert _status(out) == "error"
    kept = _rows(out)[:-1]
    assert main(arguments) == 0
    assert len(_rows(out)) == 20
    assert _rows(out)[: len(kept)] == kept
    assert _status(out) == "success"


def test_a_finished_run_on_a_read_only_disk_prints_its_table(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = _arguments(tiny_checkpoint, tmp_path / "out")
    assert main(arguments) == 0
    table = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    def refuse(*anything: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("_take_lock", "write_manifest", "append"):
        monkeypatch.setattr(RunStore, name, refuse)
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert again.out == table
    assert "all 2 rows are there" in again.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert main([*arguments[:-2], "--out", str(tmp_path / "new")]) == 2
    assert "read-only; choose another folder with --out" in capsys.readouterr().err


def test_a_run_without_any_score_says_why_and_is_no_success(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = _arguments(tiny_checkpoint, tmp_path / "out", "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(execute, "score", lambda *_: (None, Failure("score", "ValueError", "no\x1b[31m\nanswer")))
        assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "failed: all 2 rows failed: 2 in score (ValueError: no\\u001b[31m\\nanswer)\n" in said
    assert _status(tmp_path / "out") == "error"
    assert main(arguments) == 1, "asked again, it still has no score"
    assert "all 2 rows failed" in capsys.readouterr().err
    assert main([*arguments, "--retry-failed"]) == 0
    assert _status(tmp_path / "out") == "success"


def test_some_failed_rows_are_counted_by_reason() -> None:
    error = {"stage": "ledger", "type": "LengthMismatch", "message": "5 tokens"}
    outcome = outcome_of([record("a"), record("b", error), record("c", error)])
    assert outcome.status == "success"
    assert outcome.lines() == ["2 of 3 rows failed: 2 in ledger (LengthMismatch: 5 tokens)"]
    assert outcome_of([record("a")]).lines() == []


def test_a_bug_of_ours_is_status_3_with_the_place_of_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(given: list[str]) -> int:
        raise KeyError("one\ntwo\x1b[0m")

    monkeypatch.setattr("ropepp_eval.cli._dispatch", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["table"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected KeyError: ")
    assert line.isprintable()
    file = Path(line.rpartition("its traceback is in ")[2])
    assert "in fail" in file.read_text()
    assert main(["table", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_behind_the_output_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = subprocess.run(f"{sys.executable} -m ropepp_eval models > /dev/full", shell=True, capture_output=True, text=True)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
