"""Results folders whose rows score exactly what the paper printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from ropepp_eval.reports.published import Column, PublishedTable, published_table
from tests.reports.results_folders import PERPLEXITY, FakeCell, write_run

POSITIONS = {
    "RoPE": "rope",
    "FoPE": "fope",
    "Pythia": "partial",
    "ALiBi": "alibi",
    "RoPE++_EH": "ropepp_eh",
    "RoPE++_EC": "ropepp_ec",
}
SCALINGS = {"linear_pi_8": "pi8", "yarn_32": "yarn32"}
BENCHMARKS = {"niah": "ruler", "vt": "ruler", "cwe": "ruler", "fwe": "ruler", "qa": "ruler", "babilong": "babilong"}


def info_of(labels: Mapping[str, str], table: PublishedTable) -> dict[str, object]:
    """What a run would record of the paper's checkpoint."""
    long = labels.get("stage", "long") == "long" and "scaling" not in labels
    return {
        "parameters": int(labels["size"].removesuffix("M")) * 1_000_000 + 4_000_000,
        "max_position_embeddings": 32768 if long else 4096,
        "scaling": SCALINGS.get(labels.get("scaling", ""), "none"),
    }


def cells_of(column: Column, printed: Decimal) -> list[FakeCell]:
    """Two rows a task, which score the printed number."""
    cells = []
    for task in column.tasks:
        benchmark = BENCHMARKS.get(task.split("_")[0], task.split("_")[0])
        length = column.length_tokens or 2048
        if column.higher_is_better:
            cells.append(FakeCell(benchmark=benchmark, task=task, length_tokens=length, scores=[float(printed / 100)] * 2))
        else:
            pair = (math.log(float(printed)) * 50, 50.0)
            facts = {"scores": [pair, pair], "metric": "ppl", "rule": PERPLEXITY}
            cells.append(FakeCell(benchmark=benchmark, task=task, length_tokens=length, **facts))
    return cells


def write_published_run(folder: Path, name: str, *, protocol: str = "paper") -> Path:
    """A results folder for layout `name`, one checkpoint a published line."""
    table = published_table(name)
    cells = []
    for key, printed in table.values.items():
        labels = dict(zip(table.label_columns, key, strict=True))
        facts = {"info": info_of(labels, table), "position": POSITIONS[labels["method"]], "protocol": protocol}
        for column in table.columns:
            for cell in cells_of(column, printed[column.printed]):
                for field, value in {**facts, "checkpoint": "-".join(key)}.items():
                    setattr(cell, field, value)
                cells.append(cell)
    return write_run(folder, cells)
