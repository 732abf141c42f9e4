"""The command line of a warm process."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_SECONDS = 600
_CLIENT = Path(__file__).with_name("client.py")
_ROOT = Path(__file__).resolve().parents[2]
_running: list[subprocess.Popen[bytes]] = []
"""Held to the end of this process: one that is dropped while it runs would be warned of."""


@dataclass(frozen=True)
class Warm:
    """Commands that a session's warm process runs."""

    socket: Path

    def command(self, *arguments: str, module: str = "ropepp_eval") -> list[str]:
        """What to start instead of `python -m MODULE ARGUMENT...`."""
        return [sys.executable, "-IS", str(_CLIENT), str(self.socket), module, *arguments]

    def scripts(self) -> Path:
        """A folder for PATH in which `ropepp-eval` is this."""
        folder = self.socket.with_name("bin")
        folder.mkdir(exist_ok=True)
        script = folder / "ropepp-eval"
        if not script.exists():
            part = folder / f"{os.getpid()}"
            part.write_text(f'#!/bin/sh\nexec {shlex.join(self.command())} "$@"\n')
            part.chmod(0o755)
            part.rename(script)
        return folder

    def popen(self, *arguments: str, module: str = "ropepp_eval", **settings: Any) -> WarmProcess:
        """A process that `send_signal` reaches itself, so that SIGKILL is one to the command and not to its client."""
        return WarmProcess(self.command(*arguments, module=module), **settings)


class WarmProcess(subprocess.Popen[Any]):
    """`subprocess.Popen` of a warm command. Once `wait` is over, the command's own process has ended too."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None, **settings: Any) -> None:
        reading, writing = os.pipe()
        environment = {**(os.environ if env is None else env), "WARM_PID_FD": str(writing)}
        try:
            super().__init__(command, env=environment, pass_fds=(writing,), **settings)
        finally:
            os.close(writing)
        with open(reading, "rb") as told:
            self.command_pid = int(told.readline())

    def send_signal(self, sig: int) -> None:
        """As `Popen` does, to the command."""
        if self.poll() is None:
            os.kill(self.command_pid, sig)


def warm_process(folder: Path, owner: int) -> Warm:
    """The warm process of the session that `folder` belongs to, started where it is not there yet; it ends when `owner` has."""
    socket = folder / "socket"
    folder.mkdir(exist_ok=True)
    try:
        os.close(os.open(folder / "started", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
        with open(folder / "log", "wb") as log:
            started = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.warm.parent", str(socket), str(owner), str(folder / "lm-eval-index")],
                cwd=_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _running.append(started)
    end = time.monotonic() + _START_SECONDS
    while not socket.exists():
        if time.monotonic() > end or any(process.poll() is not None for process in _running):
            raise RuntimeError(f"the warm process did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)
    return Warm(socket)
