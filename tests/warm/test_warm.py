"""A warm command is the command: same output, status, folder, environment, limits and end as in a Python of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warm.start import Warm

STATE = """
import json, os, resource, signal, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("ONE"), sys.path[0], sys.stdout.isatty(), sys.stdin.read(),
      resource.getrlimit(resource.RLIMIT_FSIZE), [int(signal.getsignal(n) == signal.SIG_IGN) for n in (1, 2, 15)], __name__]))
print("and this", file=sys.stderr)
sys.exit(7)
"""


def test_it_inherits_what_a_new_process_would(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "state.py").write_text(STATE)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    found = [
        subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "ONE": "1"}, input="typed", capture_output=True, text=True, preexec_fn=limited
        )
        for command in ([sys.executable, "-m", "state", "a", "b c"], warm.command("a", "b c", module="state"))
    ]  # fmt: skip
    (real, forked) = ((done.returncode, done.stdout, done.stderr) for done in found)
    assert forked == real
    assert json.loads(real[1])[:4] == [["a", "b c"], str(tmp_path), "1", str(tmp_path)]
    assert real[0] == 7


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_its_streams_are_buffered_alike(warm: Warm, tmp_path: Path, unbuffered: str) -> None:
    (tmp_path / "said.py").write_text("import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('three')\n")
    real, forked = (
        subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout
        for command in ([sys.executable, "-m", "said"], warm.command(module="said"))
    )
    assert forked == real
    assert (real == b"one\ntwo\nthree\n") is bool(unbuffered)


def test_the_script_is_the_command(warm: Warm) -> None:
    done = subprocess.run([warm.scripts() / "ropepp-eval", "tabel"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean table" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_nothing_of_it_is_left(warm: Warm, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "asleep.py").write_text("import time\nopen('awake', 'w').close()\ntime.sleep(600)\n")

    def asleep() -> None:
        while not (tmp_path / "awake").exists():
            time.sleep(0.01)
        (tmp_path / "awake").unlink()

    process = warm.popen(module="asleep", cwd=tmp_path)
    asleep()
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    assert not Path(f"/proc/{process.command_pid}").exists()
    process = warm.popen(module="asleep", cwd=tmp_path)
    asleep()
    os.kill(process.pid, number)  # its client
    assert process.wait(timeout=60) == -number
    while Path(f"/proc/{process.command_pid}").exists():
        time.sleep(0.01)
