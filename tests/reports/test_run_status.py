"""What `status` says of a run, from its folder alone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main, status
from ropepp_eval.processes import is_alive, this_process
from ropepp_eval.reports.run_status import RunStatus, StatusReader
from ropepp_eval.words import lasting
from tests.cli.test_bad_results import refusal
from tests.reports.results_folders import FakeCell, printed, rows_file, write_run


def a_run(folder: Path, cells: list[FakeCell] | None = None, **manifest: Any) -> Path:
    """A run that was begun, with these fields of its manifest."""
    write_run(folder, cells or [FakeCell(planned=10)])
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | {"status": "started"} | manifest))
    return folder


def written_ago(folder: Path, seconds: float) -> Path:
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)
    return folder


def read(folder: Path) -> RunStatus:
    (found,) = StatusReader().read([folder])
    return found


@pytest.fixture
def dead_process() -> dict[str, Any]:
    """A process of this host that has ended."""
    code = "import json; from ropepp_eval.processes import this_process; print(json.dumps(this_process()))"
    return dict(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))


def test_a_process_knows_itself_and_a_dead_one(dead_process: dict[str, Any]) -> None:
    assert is_alive(this_process()) is True
    assert is_alive(dead_process) is False
    assert is_alive(this_process() | {"host": "elsewhere"}) is None
    assert is_alive({}) is None


def test_a_later_process_with_the_same_number_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    if this_process()["start_ticks"] is None:
        pytest.skip("this system has no /proc that says when a process was started")
    assert is_alive(this_process() | {"start_ticks": 1}) is False


@pytest.mark.parametrize(
    ("written", "state"), [("success", "finished"), ("error", "failed"), ("cancelled", "cancelled"), ("started", "running")]
)
def test_states_that_are_written_down(written: str, state: str, tmp_path: Path) -> None:
    assert read(a_run(tmp_path / "run", status=written, process=this_process())).state == state


def test_a_run_whose_process_is_gone_is_dead(tmp_path: Path, dead_process: dict[str, Any]) -> None:
    found = read(a_run(tmp_path / "run", process=dead_process))
    assert found.state == "dead"
    assert f"its process {dead_process['pid']} on {socket.gethostname()} is gone" in found.notes[0]
    assert "the same command goes on from there" in found.notes[0]


@pytest.mark.parametrize(
    ("process", "seconds", "state", "said"),
    [
        ("elsewhere", 60, "running", ""),
        (
            "elsewhere",
            7200,
            "silent",
            "nothing was written for 2 h (the longest row took 0.1 s); its process 1 on elsewhere",
        ),
        ("", 7200, "silent", "run.json does not say which process it was"),
        ("here", 7200, "running", "nothing was written for 2 h, though its process"),
    ],
)
def test_no_row_for_long(process: str, seconds: float, state: str, said: str, tmp_path: Path) -> None:
    known = {"elsewhere": {"process": {"host": "elsewhere", "pid": 1}}, "here": {"process": this_process()}, "": {}}
    found = read(written_ago(a_run(tmp_path / "run", **known[process]), seconds))
    assert found.state == state
    assert said in "".join(found.notes)
    assert bool(said) == bool(found.notes)


def test_long_rows_are_waited_for(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", [cell := FakeCell(planned=10)])
    line = {name: value for name, value in cell.line(0).items() if name != "checksum"} | {"seconds": 1000.0}
    rows_file(folder, cell).write_text(json.dumps(line) + "\n")
    assert read(written_ago(folder, 7200)).state == "running"


def test_progress_counts_rows_once_and_only_planned_ones(tmp_path: Path) -> None:
    cell = FakeCell(planned=5, scores=(1.0, None, None, 0.0, 1.0, 1.0))
    folder = a_run(tmp_path / "run", [cell])
    again = cell.line(1) | {"scores": {"score": 1.0}, "error": None}
    with rows_file(folder, cell).open("a") as file:  # answered again; then a line that is not whole yet
        file.write(json.dumps(again) + "\n" + json.dumps(again)[:50])
    found = read(folder)
    assert (found.rows, found.planned, found.failed) == (5, 5, 1)
    assert found.reasons == ("1 in model (ValueError: made by the test)",)
    assert found.seconds_left == 0


def test_time_left_grows_with_the_length(tmp_path: Path) -> None:
    """Four rows took 0.1 s each at 4k. The six that are missing there take as long; ten at 8k, where attention counts more, 2.67 times."""
    cells = [FakeCell(planned=10), FakeCell(planned=10, length_tokens=8192, scores=())]
    found = read(a_run(tmp_path / "run", cells))
    assert found.rows_a_minute == pytest.approx(600)
    assert found.seconds_left == pytest.approx(6 * 0.1 + 10 * 0.1 * 2 * (2 / 1.5))
    assert str(found.here) == "rope, niah_single_1 at 4k"


def test_before_the_first_row_no_time_is_known(tmp_path: Path) -> None:
    found = read(a_run(tmp_path / "run", [FakeCell(planned=10, scores=())], process=this_process()))
    assert (found.rows, found.rows_a_minute, found.seconds_left) == (0, None, None)
    assert found.line().endswith("running, 0 of 10 rows (0 %), at rope, niah_single_1 at 4k")


def test_a_finished_run_with_a_damaged_line_says_so(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", [cell := FakeCell()], status="success")
    path = rows_file(folder, cell)
    path.write_bytes(path.read_bytes().replace(b'"row": 2', b'"row": x'))
    found = read(folder)
    assert found.notes[0] == "1 row of it missing; the same command asks them again"
    assert ", line 3: not JSON" in found.notes[1]


def test_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, reader = a_run(tmp_path / "run"), StatusReader()
    before = reader.read([folder])
    from ropepp_eval.reports import run_status

    with monkeypatch.context() as patch:
        patch.setattr(run_status, "read_rows_file", lambda *_: pytest.fail("it was read again"))
        assert [one.rows for one in reader.read([folder])] == [one.rows for one in before]


def test_a_table_of_several_runs_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead_process: dict[str, Any]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    a_run(tmp_path / "dead", process=dead_process)
    a_run(tmp_path / "done", status="success")
    a_run(tmp_path / "going", process=this_process())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    text = printed(status, capsys, tmp_path)
    assert max(map(len, text.splitlines())) <= 80
    for state in ("dead", "finished", "running", "unreadable"):
        assert f" {state} " in text
    content = json.loads(printed(status, capsys, tmp_path, "--format", "json"))
    assert [run["state"] for run in content["runs"]] == ["unreadable", "dead", "finished", "running"]
    assert content["runs"][3]["cells"][0]["planned"] == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not there"),
        (["empty"], "holds no run.json"),
        (["broken"], "no run could be read: "),
        (["run", "--format", "xml"], "unknown format 'xml'"),
        (["run", "--every", "0"], "--every 0 is not between"),
    ],
)
def test_what_is_no_run(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path / "run")
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "run.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, "status", *arguments)


def test_watching_prints_a_line_each_time_until_all_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_run(tmp_path / "run", process=this_process())

    def ends(seconds: float) -> None:
        assert seconds == 0.5
        a_run(folder, [], status="success")

    monkeypatch.setattr("time.sleep", ends)
    lines = printed(status, capsys, folder, "--watch", "--every", "0.5").splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["running", "finished"]


def test_a_watch_ends_by_ctrl_c_and_says_that_the_runs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_run(tmp_path / "run", process=this_process())

    def interrupt(seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("time.sleep", interrupt)
    assert main(["status", str(folder), "--watch"]) == 130


def test_on_a_terminal_the_table_is_drawn_at_one_place(tmp_path: Path) -> None:
    """Through a pseudo-terminal of 80 columns: the run ends while it is watched."""
    folder = a_run(tmp_path / "run", process=this_process())
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "ropepp_eval", "status", str(folder), "--watch", "--every", "0.2"]
    process = subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    )
    os.close(end)
    seen = b""
    while b"running" not in seen:
        seen += os.read(terminal, 4096)
    a_run(folder, [], status="success")
    assert process.wait(timeout=60) == 0
    with contextlib.suppress(OSError):  # what a closed terminal answers
        while part := os.read(terminal, 4096):
            seen += part
    os.close(terminal)
    assert b"finished" in seen
    assert b"\x1b[1A" in seen, "the cursor went up again"
    assert seen.count(b"rows/min") >= 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.4, "9.4 s"),
        (9.6, "10 s"),
        (89, "89 s"),
        (91, "2 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (190000, "2 d 5 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
