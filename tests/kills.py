"""SIGKILL at random moments of a run: `python -m tests.kills --kills 100` (`make kill-test`).

A run is started in a process of its own, killed at a random moment, and started again, until it ends by itself; then another one
begins in a new folder, until there were enough kills. What must hold:

- the table of every such run is that of a run that was never killed, to the byte;
- a whole row that was on disk when the process died is in the file at the end as it was then, its seconds included: it was not asked
  again;
- no row is there twice, and none is missing.

The processes are forked from one that has everything imported, so that the moments fall into planning, loading, answering and writing
and not into Python's start.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

Lines = Counter[bytes]
_CELLS = ("--tasks", "niah_single_1,niah_multikey_1", "--lengths", "1k,2k", "--samples", "8", "--offline")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="SIGKILL at random moments of a run")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--ray", action="store_true", help="kill workers and drivers of runs on Ray (tests/cluster/kills.py)"
    )
    args = parser.parse_args()
    if args.ray:
        from tests.cluster.kills import kill_on_ray
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        os.environ["ROPEPP_EVAL_CACHE"] = f"{folder}/cache"
        stream = random.Random(args.seed)
        figures = kill_on_ray(Path(folder), stream) if args.ray else kill_runs(Path(folder), args.kills, stream)
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


def kill_runs(root: Path, kills: int, stream: random.Random) -> dict[str, object]:
    """Runs under `root`, killed so many times in all. Gives the figures; `ok` where all held."""
    model = _prepared(root)
    begin = time.monotonic()
    _ended(_start(model, root / "never-killed"), root / "never-killed", math.inf)
    whole_seconds = time.monotonic() - begin
    wanted, wrong = table_of(root / "never-killed"), []
    runs = killed = rows_kept = begun_anew = 0
    moments: Counter[str] = Counter()
    while killed < kills:
        out, runs = root / f"run-{runs}", runs + 1
        kept: Lines = Counter()
        while not _ended(_start(model, out), out, stream.uniform(0, whole_seconds) if killed < kills else math.inf):
            killed += 1
            moments[_moment(out)] += 1
            there = whole_lines(out)
            wrong += [f"{out.name}: a row that was there was lost"] * bool(kept - there)
            begun_anew += not there
            kept = there
        rows_kept += kept.total()
        at_end = whole_lines(out)
        wrong += [f"{out.name}: {(kept - at_end).total()} whole rows were asked again"] * bool(kept - at_end)
        wrong += [f"{out.name}: another table"] * (table_of(out) != wanted)
        wrong += [f"{out.name}: a row is missing or there twice"] * (
            _keys(at_end) != _keys(whole_lines(root / "never-killed"))
        )
    return {
        "kills": killed, "runs": runs, "moments": dict(sorted(moments.items())), "whole_rows_kept": rows_kept,
        "rows_a_run": whole_lines(root / "never-killed").total(), "seconds_of_a_run": round(whole_seconds, 1), "wrong": wrong, "ok": not wrong,
    }  # fmt: skip


def _prepared(root: Path) -> Path:
    """A tiny checkpoint, and everything imported that a run needs, so that forks of this process begin at once."""
    import ropepp_eval.adapters.native
    import ropepp_eval.reports.cells
    import ropepp_eval.runs.execute  # noqa: F401
    from tests.fuzz.targets import make_base

    with contextlib.redirect_stderr(io.StringIO()):
        make_base(root / "base")
    return root / "base/model"


def _start(model: Path, out: Path) -> int:
    process = os.fork()
    if process:
        return process
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    try:
        from ropepp_eval.cli import main as command

        status = command(["run", str(model), *_CELLS, "--quiet", "--out", str(out)])
    except BaseException:
        status = 99
    os._exit(status)


def _ended(process: int, out: Path, kill_after_seconds: float) -> bool:
    """Whether the run ended by itself; killed where it takes longer."""
    until = time.monotonic() + kill_after_seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended and os.waitstatus_to_exitcode(status) != 0:
            raise RuntimeError(f"a run ended by itself with an error: {Path(f'{out}.log').read_text()[-500:]}")
        if ended:
            return True
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def _moment(out: Path) -> str:
    if not (out / "run.json").exists():
        return "before run.json"
    return "before the first row" if not whole_lines(out) else "among the rows"


def whole_lines(out: Path) -> Lines:
    """The whole lines of a run's rows."""
    files = sorted(out.glob("rows/*/*.jsonl"))
    return Counter(line for file in files for line in file.read_bytes().split(b"\n")[:-1])


def _keys(lines: Lines) -> list[str]:
    return sorted(json.loads(line)["key"] for line in lines.elements())


def table_of(out: Path) -> str:
    """The table that `ropepp-eval table` prints of a run, as CSV with counts."""
    from ropepp_eval.cli import main as command

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert command(["table", str(out), "--format", "csv", "--counts", "rows,failed,cut"]) == 0
    return printed.getvalue()


if __name__ == "__main__":
    sys.exit(main())
