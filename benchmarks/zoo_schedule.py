"""How long the paper's whole zoo takes on 1, 8, 64 and 1,000 GPUs: a calculation, by the rules that `run --on ray` schedules with.

Nothing is run. A row's time comes from operations and bytes at stated shares of an H100's published rates; the schedule is
`ropepp_eval.cluster.simulation`. Prints the table of docs/clusters.md and ends with a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ropepp_eval.cluster.simulation import CellCost, simulate
from ropepp_eval.rows.catalogue import resolve_tasks

MODELS = Path(__file__).resolve().parents[1] / "models"
OPERATIONS, BYTES = 989e12 * 0.4, 3.35e12 * 0.6
"""A second: bfloat16 operations and bytes of an H100 SXM as published, at the shares that are assumed to be reached."""
BATCH = 64
"""Rows that generate side by side and share reading the weights, where their caches fit."""
CACHE_BYTES = 40e9
LOAD_SECONDS, WORKER_SECONDS = 20.0, 20.0
"""Assumed: reading and hashing a checkpoint, starting a process."""
DRIVER_ROWS_A_SECOND = 200.0
"""Assumed: scored, written and flushed by the one driver."""
RULER_BUDGET, BABILONG_BUDGET = 64, 20
SHORT_TASKS, SHORT_TOKENS, CHOICES = 12, 1024, 4
WORKERS = (1, 8, 64, 1000)


@dataclass(frozen=True)
class Model:
    """What of a card decides time."""

    name: str
    parameters: int
    layers: int
    attention_width: int
    """Heads that attend times their size."""
    cache_bytes_a_token: int

    @classmethod
    def of(cls, card: dict[str, Any], name: str) -> Model:
        shape = card["shape"]
        doubled = 2 if card["position"] == "ropepp_ec" else 1
        return cls(
            name, card["parameters"], shape["num_hidden_layers"], shape["hidden_size"] * doubled, card["kv_bytes_per_token"]
        )

    def row_seconds(self, tokens: int, new_tokens: int) -> float:
        """Prefill by operations, then each new token by the bytes it reads: the cache, and its share of the weights."""
        operations = 2 * self.parameters * tokens + 2 * self.layers * self.attention_width * tokens**2
        together = max(1, min(BATCH, int(CACHE_BYTES / (self.cache_bytes_a_token * max(1, tokens)))))
        read = 2 * self.parameters / together + self.cache_bytes_a_token * tokens
        return operations / OPERATIONS + new_tokens * read / BYTES


def cells_of_the_zoo(rows: int) -> Iterator[CellCost]:
    """As in table 1 all 24 on short tasks, as in table 2 those trained on at 32k, as in table 3 RoPE and RoPE++ of 4k under two scalings."""
    ruler, babilong = len(resolve_tasks(["ruler"])), 10  # qa1 to qa10, as the paper
    for path in sorted(MODELS.glob("*.yaml")):
        card = yaml.safe_load(path.read_text())
        model = Model.of(card, card["name"])
        for _ in range(SHORT_TASKS):
            yield CellCost(model.name, [model.row_seconds(SHORT_TOKENS, 0) * CHOICES] * rows)
        if model.name.endswith("-32k"):
            forms = [(model.name, 64)]
        else:
            forms = [(f"{model.name}+{scaling}", 32) for scaling in ("pi8", "yarn32") if model.name.startswith("RoPE")]
        for name, longest in forms:
            for length in (2, 4, 8, 16, 32, 64):
                if length <= longest:
                    for tasks, budget, first in ((ruler, RULER_BUDGET, 4), (babilong, BABILONG_BUDGET, 2)):
                        for _ in range(tasks if length >= first else 0):
                            yield CellCost(name, [model.row_seconds(length * 1024, budget)] * rows)


def main() -> int:
    lines, found = [], []
    for rows in (100, 500):
        cells = list(cells_of_the_zoo(rows))
        count = sum(len(cell.rows_seconds) for cell in cells)
        longest = max(max(cell.rows_seconds) for cell in cells)
        for workers in WORKERS:
            schedule = simulate(cells, workers, LOAD_SECONDS)
            writing = count / DRIVER_ROWS_A_SECOND
            hours = max(schedule.makespan_seconds + WORKER_SECONDS, writing) / 3600
            share = schedule.load_seconds / (schedule.load_seconds + schedule.busy_seconds)
            bounds = {
                "the driver, which writes every row": writing,
                "answering": schedule.busy_seconds / workers,
                "loading": schedule.load_seconds / workers,
            }
            bottleneck = max(bounds, key=lambda name: bounds[name])
            lines.append(
                f"| {rows} | {workers:,} | {hours:.2f} | {100 * schedule.utilisation:.1f} % | {schedule.loads:,} | {100 * share:.1f} % | "
                f"{hours * workers:.1f} | {bottleneck} |"
            )
            found.append(
                {
                    "rows": rows,
                    "workers": workers,
                    "hours": hours,
                    "utilisation": schedule.utilisation,
                    "loads": schedule.loads,
                }
            )
        print(f"{rows} rows a cell: {len(cells):,} cells, {count:,} rows; the longest row takes {longest:.2f} s")
    print(
        "| rows a cell | GPUs | hours | answering | loads | of it loading | GPU hours | bottleneck |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    )
    print("\n".join(lines))
    ok = all(one["utilisation"] >= 0.9 for one in found if (one["rows"], one["workers"]) == (500, 64))
    print(json.dumps({"name": "zoo_schedule", "ok": ok, "calculated": True, "found": found}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
