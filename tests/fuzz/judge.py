"""One case: make its files, read them in this process, and say what went wrong."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

MOST_SECONDS = 5.0
"""Of CPU time."""
MOST_BYTES = 1 << 30
"""That a case may add to the process's memory at its peak."""
_BETWEEN_LINES = "\n\t"


@dataclass(frozen=True)
class Verdict:
    """What one case did."""

    target: str
    number: int
    status: int
    """Exit status of the command."""
    wrong: str
    """What it must not have done; empty where all is well."""
    said: str
    seconds: float
    peak_bytes: int

    @property
    def name(self) -> str:
        return f"{self.target}/{self.number}"


def judge(target: str, number: int, base: Path) -> Verdict:
    """Run a case; number -1 is the right file itself."""
    folder = Path(tempfile.mkdtemp(prefix="case-", dir=base.parent))
    try:
        kind = TARGETS[target]
        for part in kind.parts:
            shutil.copytree(base / part, folder / part)
        if number >= 0:
            file = folder / kind.file
            file.write_bytes(mutated(file.read_bytes(), random.Random(f"{target}/{number}")))
        tempfile.tempdir = str(folder)  # where tracebacks go
        return _judged(target, number, folder)
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def _judged(target: str, number: int, folder: Path) -> Verdict:
    from ropepp_eval.cli import verdict
    from ropepp_eval.inert import inert_output

    out, err = io.StringIO(), io.StringIO()
    before, trace = _reset_peak(), ""
    begin = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), inert_output():  # as `main` has it
        try:
            status = TARGETS[target].read(folder)
        except Exception as error:
            status, line = verdict(error)
            trace = "".join(traceback.format_exception(error)) if status == 3 else ""
            sys.stderr.write(line + "\n")
    seconds, peak = time.process_time() - begin, _peak() - before
    errors, printed = (
        text.getvalue().encode("utf-8", "backslashreplace").decode() for text in (err, out)
    )  # as `main` sets them
    wrong = _wrong(status, errors, printed, seconds, peak)
    if number < 0 and status != 0:
        wrong = f"the right file is refused: {errors[-300:]}"
    return Verdict(target, number, status, wrong, trace or errors[-2000:], seconds, peak)


def _wrong(status: int, errors: str, printed: str, seconds: float, peak: int) -> str:
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    if status == 3:
        return "a traceback: " + lines[-1][:200]
    if status == 2 and (len(lines) != 1 or errors.rstrip("\n").split("\n")[-1] != lines[0]):
        return f"{len(lines)} error lines, or text after them: {errors[-200:]!r}"
    for text in (errors, printed):
        control = [c for c in text if c not in _BETWEEN_LINES and not c.isprintable()]
        if control:
            return f"control characters: {control[:5]!r}"
    if seconds > MOST_SECONDS:
        return f"{seconds:.1f} s"
    return f"{peak / 2**20:.0f} MiB" if peak > MOST_BYTES else ""


def _reset_peak() -> int:
    """Set the peak of this process's memory to what it holds now, and give that (bytes)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0
