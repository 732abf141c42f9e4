"""Are reports of a million rows quick? 24 checkpoints, 13 tasks, 6 lengths and 535 rows a cell, stored with drawn answers.

Each command runs in a process of its own, first without kept columns (every line is read and checked), then with those that the first
one kept. Wall seconds, seconds of processor and peak memory of each. `--rows-per-cell` and `--keep DIR` for other sizes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ropepp_eval.hashing import hash_json
from ropepp_eval.records import FORMAT, line_of

CHECKPOINTS = tuple(f"checkpoint_{number:02d}" for number in range(24))
LENGTHS = (2048, 4096, 8192, 16384, 32768, 65536)
GRADED = {"task_10": 4, "task_11": 5, "task_12": 10}
"""Tasks whose rows ask for several things and score the share that is found, as four of RULER's do; the others are right or wrong."""
TASKS, ROWS = 13, 535
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


def measured(*arguments: str) -> dict[str, Any]:
    """Seconds of the clock and of the processor, and peak memory, of a command of ours in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ropepp_eval", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"ropepp-eval {' '.join(arguments)} ended with status {process.returncode}")
    return {
        "wall_s": time.perf_counter() - began, "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_gib": usage.ru_maxrss / 2**20, "said": said,
    }  # fmt: skip
