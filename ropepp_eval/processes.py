"""Processes: whether one that wrote down who it is still lives, and how much memory this one took."""

from __future__ import annotations

import contextlib
import datetime
import os
import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Host, number and start of this process, as `run.json` keeps them."""
    begun = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "begun": begun, "start_ticks": _start_ticks(os.getpid())}


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process of `this_process` lives; None where this host can't know: it ran on another one, or did not say where."""
    pid = process.get("pid")
    if process.get("host") != socket.gethostname() or not isinstance(pid, int):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's: it lives
        pass
    started = process.get("start_ticks")
    return started is None or started == _start_ticks(pid)


def _start_ticks(pid: int) -> int | None:
    """When the kernel started a process, in ticks since the machine did; None where no /proc says so, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def forget_peak() -> None:
    """Let the peak of this process's resident memory begin here, where the kernel allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Peak of this process's resident memory since `forget_peak`, or since it began."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
