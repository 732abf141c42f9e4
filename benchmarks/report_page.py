"""Is a large report small and quick? A run of 3 checkpoints, 13 tasks, 6 lengths and 100 rows, stored with drawn answers, as one page.

Size of the file, seconds to make it, and in a real Chromium: seconds until everything is drawn, and the slowest filter over its rows.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common

from ropepp_eval.hashing import hash_json
from ropepp_eval.records import FORMAT, line_of
from ropepp_eval.reports.page.document import page_of
from ropepp_eval.reports.page.render import render_page
from ropepp_eval.reports.page.rows import DEFAULT_ROWS

CHECKPOINTS, LENGTHS = ("one", "two", "three"), (2048, 4096, 8192, 16384, 32768, 65536)
SEED = 20260401
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FILTERS = (
    {"checkpoint": "two"}, {"task": "task_7"}, {"length": "32k"}, {"depth": "40-50 %"}, {"outcome": "wrong"}, {"outcome": "not right"},
    {"finish": "length"}, {"checkpoint": "one", "differs": "three"}, {"text": "w12"}, {"text": "no such words"}, {},
)  # fmt: skip
MEGABYTE = 1e6


def write_run(folder: Path, tasks: int, rows: int) -> None:
    """Every cell with drawn answers of some 40 words, right more often at short lengths."""
    stream = random.Random(SEED)
    words = [f"w{number}" for number in range(500)]
    cells = []
    for checkpoint in CHECKPOINTS:
        sha = hash_json(checkpoint)
        place = folder / "rows" / f"{checkpoint}-{sha[:8]}"
        place.mkdir(parents=True)
        for task in (f"task_{number}" for number in range(1, tasks + 1)):
            for at, length in enumerate(LENGTHS):
                name = {
                    "checkpoint": checkpoint, "checkpoint_sha256": sha, "position": "rope", "benchmark": "drawn", "task": task,
                    "length_tokens": length, "protocol": "reference",
                }  # fmt: skip
                lines = []
                for row in range(rows):
                    right = stream.random() < 0.9 - 0.12 * at
                    said = " ".join(stream.choices(words, k=stream.randrange(20, 60)))
                    needle = {
                        "key": "k",
                        "value": "7654321",
                        "queried": True,
                        "depth_percent": round(100 * stream.random(), 1),
                    }
                    lines.append(line_of({
                        "format": FORMAT, "key": hash_json([name, row]), **name, "seed": 42, "tokenizer_sha256": "0" * 64, "row": row,
                        "row_sha256": hash_json([task, length, row]), "prompt_tokens": length - 150, "new_tokens": 60, "budget": 128,
                        "finish": stream.choice(["eos", "length"]), "cut": False, "seconds": stream.random(), "prompt_sha256": "1" * 64,
                        "references": ["7654321"], "responses": [f"{said} {'7654321' if right else ''}"],
                        "scores": {"string_match": float(right)}, "stand_in": False, "cluster": "",
                        "details": {"haystack_units": 1000, "needles": [needle]}, "error": None,
                    }))  # fmt: skip
                (place / f"{task}@{length}.jsonl").write_bytes(b"".join(lines))
                cells.append({**name, "samples": rows})
    metric = {"string_match": {"aggregation": "mean", "higher_is_better": True, "scale": 100.0}}
    manifest = {
        "format": FORMAT, "run_id": "drawn", "created": "2026-01-01T00:00:00+00:00", "status": "success", "cells": cells,
        "tasks": {f"task_{n}": {"benchmark": "drawn", "primary": "string_match", "metrics": metric} for n in range(1, tasks + 1)},
        "checkpoints": {name: {"max_position_embeddings": 32768, "kv_bytes_per_token": 1024} for name in CHECKPOINTS},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest))


def in_the_browser(file: Path) -> dict[str, float]:
    """Seconds until the page is drawn (the best of three), and milliseconds of the slowest filter until its rows stand there."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=list(SWITCHES))
        opened = []
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            began = time.perf_counter()
            page.goto(file.as_uri())
            page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            opened.append(time.perf_counter() - began)
        slowest = max(slowest_of(page, filters) for filters in FILTERS)
        browser.close()
    return {"open_s": min(opened), "filter_ms": slowest}


def slowest_of(page: Any, filters: dict[str, str]) -> float:
    """Milliseconds of the last control set, layout included; the best of three, from an unfiltered list each."""
    times = []
    for _ in range(3):
        page.get_by_role("button", name="show all rows").click()
        for name, value in filters.items():
            control = page.locator(f"#control-{name_of(page, name)}")
            times_one = control.evaluate(
                """(control, value) => {
                    const began = performance.now();
                    if (control.options) control.selectedIndex = [...control.options].findIndex((option) => option.text === value);
                    else control.value = value;
                    control.dispatchEvent(new Event(control.options ? "change" : "input"));
                    document.body.offsetHeight;
                    return performance.now() - began;
                }""",
                value,
            )
        times.append(times_one if filters else 0.0)
    return min(times)


def name_of(page: Any, name: str) -> str:
    """The number in the id of the filter of this name."""
    label = "differs from" if name == "differs" else name
    return str(page.locator(".filters label", has_text=label).first.get_attribute("for")).rpartition("-")[2]


def measured(quick: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        folder = Path(name)
        write_run(folder / "run", 3 if quick else 13, 5 if quick else 100)
        began = time.perf_counter()
        (folder / "report.html").write_bytes(render_page(page_of([folder / "run"], rows=DEFAULT_ROWS)))
        made = time.perf_counter() - began
        size = (folder / "report.html").stat().st_size / MEGABYTE
        return {"made_s": made, "megabytes": size, **in_the_browser(folder / "report.html")}


def main() -> int:
    args = common.parser(__doc__ or "").parse_args()
    found = measured(args.quick)
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    checks = [
        common.Check("megabytes of the page", found["megabytes"], 8.0),
        common.Check("seconds until it is drawn", found["open_s"], 2.0),
        common.Check("milliseconds of the slowest filter", found["filter_ms"], 100.0),
    ]
    return common.finish("report page", checks, quick=args.quick, made_s=round(found["made_s"], 1))


if __name__ == "__main__":
    sys.exit(main())
