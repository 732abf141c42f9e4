"""Are reports of a million rows quick? 24 checkpoints, 13 tasks, 6 lengths and 535 rows a cell, stored with drawn answers.

Each command runs in a process of its own: `table` first without kept columns (every line is read and checked), then everything with
those that it kept, at last with one line damaged. Printed are seconds of the clock, seconds of the processor and peak memory. The bars
are held to seconds of the processor: each command is one process that waits for nothing, so on a machine with nothing else to do these
are the clock's. `--folder DIR` keeps the rows there for the next time; `--rows` makes fewer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common

from ropepp_eval.hashing import hash_json
from ropepp_eval.records import FORMAT, line_of

CHECKPOINTS = tuple(f"checkpoint_{number:02d}" for number in range(24))
LENGTHS = (2048, 4096, 8192, 16384, 32768, 65536)
GRADED = {"task_10": 4, "task_11": 5, "task_12": 10}
"""Tasks whose rows ask for several things and score the share that is found, as four of RULER's do; the others are right or wrong."""
TASKS, ROWS = 13, 535
LEAST = 1_000_000
"""With fewer rows the bars say nothing."""
SEED = 20260401
OLD_ENOUGH_SECONDS = 3.0
"""Files written just now are not kept as columns."""


def write_run(folder: Path, tasks: int, rows: int) -> int:
    """Every cell with drawn answers of some 20 words, right more often at short lengths. Gives the number of rows."""
    stream = random.Random(SEED)
    words = [f"w{number}" for number in range(500)]
    names = [f"task_{number}" for number in range(tasks)]
    hashes = {
        (task, length, row): hash_json([task, length, row]) for task in names for length in LENGTHS for row in range(rows)
    }
    cells = []
    for better, checkpoint in enumerate(CHECKPOINTS):
        sha = hash_json(checkpoint)
        place = folder / "rows" / f"{checkpoint}-{sha[:8]}"
        place.mkdir(parents=True)
        for task in names:
            for at, length in enumerate(LENGTHS):
                name = {
                    "checkpoint": checkpoint, "checkpoint_sha256": sha, "position": "rope", "benchmark": "drawn", "task": task,
                    "length_tokens": length, "protocol": "reference",
                }  # fmt: skip
                parts, chance = GRADED.get(task, 1), 0.93 - 0.1 * at - 0.005 * better
                lines = []
                for row in range(rows):
                    score = sum(stream.random() < chance for _ in range(parts)) / parts
                    said = " ".join(stream.choices(words, k=20))
                    needle = {
                        "key": "k",
                        "value": "7654321",
                        "queried": True,
                        "depth_percent": round(100 * stream.random(), 1),
                    }
                    failure = {"stage": "model", "type": "NonFinite", "message": "drawn"} if stream.random() < 1e-4 else None
                    row_sha = hashes[task, length, row]
                    lines.append(line_of({
                        "format": FORMAT, "key": row_sha[::-1], **name, "seed": 42, "tokenizer_sha256": "0" * 64, "row": row,
                        "row_sha256": row_sha, "prompt_tokens": length - 150, "new_tokens": 60, "budget": 128,
                        "finish": "eos", "cut": False, "seconds": round(stream.random(), 3), "prompt_sha256": row_sha,
                        "question": "What is the number for k in the text?", "references": ["7654321"], "responses": [f"{said} 7654321"],
                        "scores": None if failure else {"string_match": score}, "scorer_sha256": "2" * 64, "stand_in": False, "cluster": "",
                        "details": {"haystack_units": 1000, "needles": [needle]}, "error": failure,
                    }))  # fmt: skip
                (place / f"{task}@{length}.jsonl").write_bytes(b"".join(lines))
                cells.append({**name, "samples": rows})
    metric = {"string_match": {"aggregation": "mean", "higher_is_better": True, "scale": 100.0}}
    manifest = {
        "format": FORMAT, "run_id": "drawn", "created": "2026-01-01T00:00:00+00:00", "status": "success", "cells": cells,
        "tasks": {task: {"benchmark": "drawn", "primary": "string_match", "metrics": metric} for task in names},
        "checkpoints": {name: {} for name in CHECKPOINTS}, "settings": {"dtype": "float32"},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest))
    return len(cells) * rows


def measured(what: str, *arguments: str) -> dict[str, Any]:
    """Seconds of the clock and of the processor, and peak memory, of a command of ours in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ropepp_eval", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"ropepp-eval {' '.join(arguments)} ended with status {process.returncode}")
    found = {
        "clock_s": time.perf_counter() - began, "processor_s": usage.ru_utime + usage.ru_stime, "gib": usage.ru_maxrss / 2**20,
    }  # fmt: skip
    print(f"  {what}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()), flush=True)
    return {**found, "said": said}


def with_a_damaged_line(folder: Path) -> tuple[dict[str, Any], bool]:
    """`table` after a byte of one line has changed, and whether it names that line and no other. The line is mended afterwards."""
    path = sorted(folder.glob("rows/*/*.jsonl"))[7]
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    number = len(lines) // 2
    lines[number] = lines[number].replace(b"7654321", b"7654322", 1)
    path.write_bytes(b"".join(lines))
    found = measured("table, one line damaged", "table", str(folder))
    path.write_bytes(whole)
    told = f"{path.relative_to(folder.parent).as_posix()}, line {number + 1}: its checksum is not that of its content"
    said = " ".join(found["said"].split())
    return found, told in said and said.count("damaged, left out:") == 1


def checks_of(folder: Path) -> list[common.Check]:
    run = str(folder)
    shutil.rmtree(folder / "columns", ignore_errors=True)
    first = measured("table, every line read", "table", run)
    table = measured("table", "table", run)
    tested = measured("table --ci --significant", "table", run, "--ci", "--significant")
    compared = measured("compare", "compare", CHECKPOINTS[0], CHECKPOINTS[1], run)
    damaged, named = with_a_damaged_line(folder)
    return [
        common.Check("seconds of `table`", table["processor_s"], 15.0),
        common.Check("GiB of `table`", table["gib"], 1.0),
        common.Check("seconds of the first `table`, which reads every line", first["processor_s"], 60.0),
        common.Check("GiB of the first `table`", first["gib"], 1.0),
        common.Check("seconds of `table --ci --significant`", tested["processor_s"], 30.0),
        common.Check("seconds of `compare`", compared["processor_s"], 10.0),
        common.Check("seconds of `table` after one line was damaged", damaged["processor_s"], 15.0),
        common.Check(
            "the same table from the lines and from kept columns",
            float(first["said"] == table["said"]),
            1,
            "at least",
            exact=True,
        ),
        common.Check("the damaged line is named, and no other", float(named), 1, "at least", exact=True),
    ]


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=ROWS, help=f"rows a cell (default {ROWS})")
    args = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        folder = Path(args.folder or name) / "run"
        if not (folder / "run.json").exists():
            began = time.process_time()
            rows = write_run(folder, 3 if args.quick else TASKS, 20 if args.quick else args.rows)
            print(f"{rows:,} rows written in {time.process_time() - began:.0f} s", flush=True)
            time.sleep(OLD_ENOUGH_SECONDS)
        cells = json.loads((folder / "run.json").read_text())["cells"]
        rows = sum(cell["samples"] for cell in cells)
        size = sum(path.stat().st_size for path in folder.glob("rows/*/*.jsonl"))
        print(f"{rows:,} rows, {size / 2**30:.2f} GiB", flush=True)
        checks = checks_of(folder)
    return common.finish("reports", checks, quick=args.quick or rows < LEAST, rows=rows)


if __name__ == "__main__":
    sys.exit(main())
