"""The page of a run that goes on: written again when its files change, until it ends; loaded again by the reader's browser."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

from ropepp_eval.cli import main
from ropepp_eval.reports.page import live
from ropepp_eval.worker_states import WorkerState, remove_states, write_states
from tests.reports.results_folders import FakeCell, rows_file, write_run


def going_on(folder, planned=3):
    """A run with one row of three, not ended."""
    run = write_run(folder, [FakeCell(scores=[1.0], planned=planned)])
    set_status(run, "started")
    return run


def set_status(run, status):
    manifest = json.loads((run / "run.json").read_text()) | {"status": status}
    (run / "run.json").write_text(json.dumps(manifest))


def add_row(run, row):
    cell = FakeCell(scores=[1.0, 0.0, 1.0])
    with rows_file(run, cell).open("a") as file:
        file.write(json.dumps(cell.line(row)) + "\n")


def test_it_is_written_when_rows_arrive_and_once_more_at_the_end(tmp_path, monkeypatch, capsys):
    run, file = going_on(tmp_path / "run"), tmp_path / "report.html"
    pages = []
    events = iter([lambda: add_row(run, 1), lambda: None, lambda: add_row(run, 2), lambda: set_status(run, "success")])

    def wait(seconds):
        assert seconds >= 1
        pages.append(file.read_text())
        next(events)()

    monkeypatch.setattr(time, "sleep", wait)
    assert main(["report", str(run), "--live", "--every", "1", "--out", str(file)]) == 0
    assert [page.split('<label for="progress">')[1].split(",")[0] for page in pages] == [
        "1 of 3 rows", "2 of 3 rows", "2 of 3 rows", "3 of 3 rows",
    ]  # fmt: skip
    assert all('"reload_seconds":1}' in page for page in pages)
    last = file.read_text()
    assert '"reload_seconds":null' in last
    assert "of 3 rows" not in last
    assert not list(tmp_path.glob(".report*"))
    assert capsys.readouterr().out.endswith(f"{file}\n")


def test_a_run_whose_process_is_dead_is_waited_for_no_longer(tmp_path, monkeypatch, capsys):
    run, file = going_on(tmp_path / "run"), tmp_path / "report.html"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        manifest = json.loads((run / "run.json").read_text())
        facts = {"host": socket.gethostname(), "pid": process.pid, "start_ticks": None}
        (run / "run.json").write_text(json.dumps(manifest | {"process": facts}))

        def wait(seconds):
            assert '"reload_seconds":1}' in file.read_text()
            process.kill()
            process.wait()

        monkeypatch.setattr(time, "sleep", wait)
        assert main(["report", str(run), "--live", "--every", "1", "--out", str(file)]) == 0
    assert '"reload_seconds":null' in file.read_text()


def test_workers_are_shown_while_they_work(tmp_path, monkeypatch):
    run, file = going_on(tmp_path / "run"), tmp_path / "report.html"
    write_states(run, [WorkerState(name="worker 1 on <node>", doing="loading rope", rows=7, rows_a_minute=3.0)])

    def wait(seconds):
        page = file.read_text()
        assert "worker 1 on &lt;node&gt;" in page
        assert "loading rope" in page
        remove_states(run)
        set_status(run, "success")

    monkeypatch.setattr(time, "sleep", wait)
    assert main(["report", str(run), "--live", "--every", "1", "--out", str(file)]) == 0
    assert "loading rope" not in file.read_text()


def test_an_unchanged_folder_is_not_read_again(tmp_path, monkeypatch):
    run = going_on(tmp_path / "run")
    calls = []
    waits = iter([None, None])

    def wait(seconds):
        if next(waits, "end") == "end":
            add_row(run, 1)
            set_status(run, "success")

    monkeypatch.setattr(time, "sleep", wait)
    live.watch([run], lambda seconds: calls.append(seconds) or len(calls) < 2, every=1)
    assert calls == [1, 1, None]


def test_a_page_that_is_written_once_says_that_the_run_had_not_ended(tmp_path):
    run, file = going_on(tmp_path / "run"), tmp_path / "report.html"
    assert main(["report", str(run), "--out", str(file)]) == 0
    assert "this run had not ended when the page was written" in file.read_text()


def test_the_page_loads_itself_again_with_its_choices_until_it_is_stopped(opened, tmp_path):
    from ropepp_eval.reports.page.document import page_of
    from ropepp_eval.reports.page.render import render_page

    run, file = going_on(tmp_path / "run"), tmp_path / "report.html"

    def write():
        file.write_bytes(render_page(page_of([run], rows="all"), reload_seconds=1))

    write()
    one = opened(file)
    one.page.get_by_label("outcome", exact=True).select_option(label="right")
    add_row(run, 1)
    write()
    one.page.locator(".live label", has_text="2 of 3 rows").wait_for()
    one.page.locator(".count", has_text="1 of 2 rows").wait_for()  # the filter is as it was
    one.page.locator("#reloading").uncheck()
    add_row(run, 2)
    write()
    one.page.wait_for_timeout(1500)
    assert "2 of 3 rows" in one.page.locator(".live label").first.text_content()
    assert one.errors == []
