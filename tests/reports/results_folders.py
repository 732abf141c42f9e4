"""A small writer of results folders that follows docs/architecture.md, for tests of the reports alone."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PERCENT = {"aggregation": "mean", "higher_is_better": True, "scale": 100.0}
PERPLEXITY = {"aggregation": "window_perplexity", "higher_is_better": False, "scale": 1.0}


def sha(*parts: Any) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


@dataclass(kw_only=True)
class FakeCell:
    """One cell: a score a row (number, pair, or None for a failed row)."""

    checkpoint: str = "rope"
    position: str = "rope"
    benchmark: str = "ruler"
    task: str = "niah_single_1"
    length_tokens: int = 4096
    protocol: str = "reference"
    scores: Sequence[Any] = (1.0, 0.0, 1.0, 1.0)
    metric: str = "score"
    rule: Mapping[str, Any] = field(default_factory=lambda: PERCENT)
    planned: int | None = None
    seed: int = 42
    tokenizer: str = "tokenizer"
    clusters: Sequence[str] = ()
    depths: Sequence[float] = ()
    stand_in: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def checkpoint_sha256(self) -> str:
        return self.sha256 or sha("checkpoint", self.checkpoint)

    def name(self) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint, "checkpoint_sha256": self.checkpoint_sha256, "position": self.position,
            "benchmark": self.benchmark, "task": self.task, "length_tokens": self.length_tokens, "protocol": self.protocol,
        }  # fmt: skip

    def line(self, row: int) -> dict[str, Any]:
        score = self.scores[row]
        row_sha256 = sha(self.task, self.length_tokens, row, self.seed, self.protocol, self.tokenizer)
        failed = score is None
        return {
            "format": 1, "key": sha(self.checkpoint_sha256, row_sha256, self.protocol), **self.name(), "seed": self.seed,
            "tokenizer_sha256": sha(self.tokenizer), "row": row, "row_sha256": row_sha256,
            "prompt_tokens": max(self.length_tokens - 164, 36), "new_tokens": 5, "budget": 64, "finish": "stop", "cut": False,
            "seconds": 0.1, "prompt_sha256": sha("prompt", row_sha256), "references": ["7"], "responses": ["7"],
            "scores": None if failed else (score if isinstance(score, dict) else {self.metric: score}),
            "stand_in": self.stand_in, "cluster": self.clusters[row] if self.clusters else "",
            "details": {"depth": self.depths[row]} if self.depths else {},
            "error": {"stage": "model", "type": "ValueError", "message": "made by the test"} if failed else None,
        }  # fmt: skip


def write_run(folder: Path, cells: Sequence[FakeCell], *, created: str = "2026-01-01T00:00:00Z", **settings: str) -> Path:
    """A results folder that holds `cells`. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks: dict[str, Any] = {}
    for cell in cells:
        task = tasks.setdefault(cell.task, {"benchmark": cell.benchmark, "primary": cell.metric, "metrics": {}})
        task["metrics"][cell.metric] = dict(cell.rule)
        path = rows_file(folder, cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(cell.line(row)) + "\n" for row in range(len(cell.scores)))
    manifest = {
        "format": 1, "run_id": folder.name, "created": created,
        "cells": [{**cell.name(), "samples": cell.planned or len(cell.scores)} for cell in cells],
        "tasks": tasks,
        "checkpoints": {
            cell.checkpoint: {"sha256": cell.checkpoint_sha256, "position": cell.position, **cell.info} for cell in cells
        },
        "seed": cells[0].seed if cells else 42, "settings": {"dtype": "float32", "attention": "sdpa", **settings},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def rows_file(folder: Path, cell: FakeCell) -> Path:
    return folder / "rows" / f"{cell.checkpoint}-{cell.checkpoint_sha256[:8]}" / f"{cell.task}@{cell.length_tokens}.jsonl"


def printed(command: Any, capsys: Any, *arguments: Any) -> str:
    """What a command of ours prints for these arguments; its exit status must be 0."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    command.add_arguments(parser)
    assert command.main(parser.parse_args([str(argument) for argument in arguments])) == 0
    return capsys.readouterr().out
