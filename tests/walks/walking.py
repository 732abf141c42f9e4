"""One step of a walk, and how it is taken: in a folder that is a checkout to the user, or in a terminal 80 columns wide."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STYLE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@dataclass(frozen=True)
class Step:
    """A command line, and what its user must see."""

    command: str
    sees: tuple[str, ...]
    """Regular expressions, each found in what is printed (both streams, line ends and blanks made one blank)."""
    never: tuple[str, ...] = ()
    """Regular expressions that must not be found."""
    status: int = 0


def checkout(folder: Path) -> Path:
    """`folder` with the parts of the checkout that a walk names, and no runs."""
    for name in ("models", "docs", "tasks"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def take(step: Step, folder: Path, *, scripts: Path, terminal: bool = False) -> str:
    """Run a step as its user does and hold it to what it promises.

    Args:
        scripts: the folder that holds `ropepp-eval`.
        terminal: in a pseudo-terminal of 80 columns; what is drawn must fit them.
    """
    path = f"{scripts}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    status, printed = (
        _in_a_terminal(step.command, folder, environment) if terminal else _piped(step.command, folder, environment)
    )
    assert status == step.status, f"`{step.command}` ended with {status}, not {step.status}:\n{printed}"
    seen = " ".join(printed.split())
    for wanted in step.sees:
        assert re.search(wanted, seen), f"`{step.command}` does not show {wanted!r}:\n{printed}"
    for unwanted in (*step.never, "Traceback"):
        assert not re.search(unwanted, seen), f"`{step.command}` shows {unwanted!r}:\n{printed}"
    if terminal:
        wide = [
            line for line in printed.splitlines() if len(line) > 80 and not line.startswith("error: ")
        ]  # an error is one line
        assert not wide, f"`{step.command}` draws past 80 columns:\n{wide}"
    return printed


def _piped(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode()


def _in_a_terminal(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    text = _STYLE.sub("", said.decode()).replace("\r\n", "\n")
    lines = [state for line in text.split("\n") for state in line.split("\r")]  # a bar's every state
    return process.wait(), "\n".join(lines)
