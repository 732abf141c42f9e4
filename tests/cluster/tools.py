"""What the tests of runs on Ray share: rows as they are stored, processes of workers, and an executor that breaks things on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.cluster import RayExecutor

Rows = dict[str, dict[str, Any]]


def stored(out: Path) -> Rows:
    """The rows of a run by key, each there once."""
    lines = [json.loads(line) for path in out.glob("rows/*/*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == len({line["key"] for line in lines}), "a row was asked twice"
    return {line["key"]: line for line in lines}


def timeless(rows: Rows) -> Rows:
    """Rows without what may differ between two runs: the time that each took."""
    return {key: {k: v for k, v in row.items() if k not in ("seconds", "checksum")} for key, row in rows.items()}


def manifest_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


def worker_processes() -> list[int]:
    """Processes of our workers on this machine: Ray names them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                    found.append(int(folder.name))
            except OSError:  # it has just ended
                continue
    return sorted(found)


def processes_with(marker: str, *, but: tuple[bytes, ...] = ()) -> list[int]:
    """Processes whose environment holds a marker that only their ancestor was given; this one, zombies and those named so left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                named_so = but and (folder / "cmdline").read_bytes().startswith(but)
                if marker.encode() in (folder / "environ").read_bytes() and not named_so:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def until(holds: Callable[[], Any], seconds: float) -> bool:
    """Wait for something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return bool(holds())


def kill_a_worker() -> None:
    """SIGKILL to a worker that is at work."""
    os.kill(worker_processes()[-1], signal.SIGKILL)


class Breaking(RayExecutor):
    """Does something at its side after so many rows were stored, in the middle of a run."""

    def __init__(self, at: dict[int, Callable[[], object]], **settings: Any) -> None:
        super().__init__(**settings)
        self.at = at
        self.rows = 0

    def answers(self, plan: Any, pending: Sequence[Any], watch: Any) -> Any:
        for answered in super().answers(plan, pending, watch):
            yield answered
            self.rows += 1
            if self.rows in self.at:
                self.at[self.rows]()
