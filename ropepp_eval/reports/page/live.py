"""The page of runs that go on: written again whenever their folders changed, until they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ropepp_eval.reports.reading import read_manifest
from ropepp_eval.reports.run_status import goes_on
from ropepp_eval.reports.sources import find_runs

WORK_SHARE = 4
"""Waits so many times as long as the last writing took, so that watching takes little of the machine that runs."""

State = tuple[tuple[str, int, int], ...]


def watch(dirs: Sequence[str | Path], write: Callable[[int | None], bool], every: float) -> None:
    """Call `write` now and whenever a run's files changed; once more, without reloading, when every run has ended.

    Args:
        write: writes the page, which loads itself again that often (None: not); says whether a run still goes on.
        every: seconds between two looks, at least.
    """
    seen: State | None = None
    while True:
        state, began = state_of(dirs), time.monotonic()
        if state != seen and not write(round(every)):
            write(None)
            return
        seen, took = state, time.monotonic() - began
        time.sleep(max(every, WORK_SHARE * took))


def state_of(dirs: Sequence[str | Path]) -> State:
    """Name, time of change and size of every file that the page is made from, and whether each run still goes on."""
    files = [
        file
        for run in find_runs(dirs)
        for file in ([run] if run.is_file() else [run / "run.json", *run.glob("rows/*/*.jsonl")])
    ]
    found = [(str(file), file.stat()) for file in sorted(files)]
    alive = [
        (str(run), 0, int(goes_on(read_manifest(run / "run.json")[0] or {}))) for run in find_runs(dirs) if run.is_dir()
    ]
    return (*((name, stat.st_mtime_ns, stat.st_size) for name, stat in found), *alive)
