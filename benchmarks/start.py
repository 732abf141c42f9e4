"""How soon does a command say something? The first line of `run`, its first row with a tiny model, and what each command imports.

`run` answers one row of the shipped demo model; a command that reads results reads a small drawn run. Printed are seconds of the clock
and of the processor; the bars are held to the latter, which other work on the machine does not lengthen. What is imported is Python's
own count (`-X importtime`), the best of three.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _common as common
import reports

MODEL = Path(__file__).resolve().parents[1] / "models/demo/rope"
HEAVY = ("torch", "transformers", "lm_eval", "pandas", "scipy", "matplotlib", "vllm", "ray")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """What a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def first_line_and_row(out: Path) -> dict[str, float]:
    """Seconds of the clock and of the processor until `run` says its first line, and until its first row is on the disk."""
    command = [
        "run",
        str(MODEL),
        "--tasks",
        "niah_single_1",
        "--lengths",
        "256",
        "--samples",
        "1",
        "--offline",
        "--out",
        str(out),
    ]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ropepp_eval", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    process.stderr.readline()
    found = {"line_clock_s": time.perf_counter() - began, "line_processor_s": processor_seconds(process.pid)}
    while not any(path.stat().st_size for path in out.glob("rows/*/*.jsonl")):
        if process.poll() is not None:
            raise SystemExit(f"run ended with status {process.returncode} before its first row")
        time.sleep(0.005)
    found |= {"row_clock_s": time.perf_counter() - began, "row_processor_s": processor_seconds(process.pid)}
    process.stderr.read()
    if process.wait():
        raise SystemExit(f"run ended with status {process.returncode}")
    return found


def imports_of(arguments: list[str]) -> tuple[float, int, list[str]]:
    """Seconds that a command spends importing, how many modules, and which of the heavy ones."""
    best = (0.0, 0, [""])
    for turn in range(3):
        command = [sys.executable, "-X", "importtime", "-m", "ropepp_eval", *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
        found = _IMPORT.findall(done.stderr)
        names = {name for _, name in found}
        seconds = sum(int(microseconds) for microseconds, _ in found) / 1e6
        if not turn or seconds < best[0]:
            best = (seconds, len(names), [name for name in HEAVY if name in names])
    return best


def main() -> int:
    args = common.parser(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        folder, run = Path(name), str(Path(name) / "drawn")
        reports.write_run(Path(run), 2, 5)
        turns = [first_line_and_row(folder / f"run-{turn}") for turn in range(1 if args.quick else 5)]
        best = {name: min(turn[name] for turn in turns) for name in turns[0]}
        print(", ".join(f"{name} {value:.2f}" for name, value in best.items()))
        one, other = reports.CHECKPOINTS[:2]
        commands = {
            "table": ["table", run], "table --ci": ["table", run, "--ci"], "compare": ["compare", one, other, run],
            "rows": ["rows", run, "--wrong"], "status": ["status", run], "report": ["report", run, "--out", str(folder / "report.html")],
            "inspect": ["inspect", str(MODEL)], "tasks": ["tasks"], "models": ["models"],
        }  # fmt: skip
        print("\n| command | seconds of imports | modules | of the heavy ones |\n| --- | ---: | ---: | --- |")
        for command, arguments in commands.items():
            seconds, modules, heavy = imports_of(arguments)
            print(f"| `{command}` | {seconds:.2f} | {modules:,} | {', '.join(heavy) or 'none'} |", flush=True)
    checks = [
        common.Check("seconds to the first line of `run`", best["line_processor_s"], 1.5),
        common.Check("seconds to the first row", best["row_processor_s"], 4.0),
    ]
    return common.finish("start", checks, quick=args.quick, **{name: round(value, 2) for name, value in best.items()})


if __name__ == "__main__":
    sys.exit(main())
