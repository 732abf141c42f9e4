"""Run folders for tests of the page: several checkpoints, tasks and lengths, hostile names and answers among them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reports.results_folders import FakeCell, write_run

HOSTILE = '"><img src=x onerror="document.title=\'taken\'">'
ANSWERS = (
    "</script><script>document.title='taken'</script> 7",
    "<b>bold</b> & <!-- 7",
    "\x1b[31mred\x00 7",
    "\u202ereversed 7",
    "{{ 7 * 7 }} ${1+1} <![CDATA[",
    "=cmd|' /C calc'!A0",
)
LENGTHS = (1024, 2048, 4096)
BUCKET = {"aggregation": "window_perplexity", "higher_is_better": False, "scale": 1.0}


@dataclass(kw_only=True)
class AnsweredCell(FakeCell):
    """A cell whose lines are changed by row number."""

    changes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def line(self, row: int) -> dict[str, Any]:
        return super().line(row) | dict(self.changes.get(row, {}))


def right(*parts: Any) -> float:
    """Whether a row is answered right: as by a coin, but always the same."""
    return float(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[0] < 150)


def rich_cells(rows: int = 12, checkpoints: tuple[str, ...] = ("rope", HOSTILE, "ropepp_ec")) -> list[FakeCell]:
    """Two tasks at three lengths, one with depths; each checkpoint has a failed row and hostile answers; losses by position."""
    cells: list[FakeCell] = []
    for number, name in enumerate(checkpoints):
        info = {
            "kv_bytes_per_token": 512 * (1 + number % 2),
            "max_position_embeddings": 2048,
            "parameters": 1000 + number,
            "note": "a note",
        }
        for task in ("niah_single_1", "vt"):
            for length in LENGTHS:
                scores: list[Any] = [right(name, task, length, row) for row in range(rows)]
                if task == "vt" and length == 4096:
                    scores[-1] = None
                changes = {
                    row: {
                        "responses": [answer],
                        "details": {"depth": 10.0 * row, "question": f"what is {row}?", "extra": HOSTILE},
                    }
                    for row, answer in enumerate(ANSWERS[:rows])
                }
                facts: dict[str, Any] = {"info": info, "changes": changes, "stand_in": task == "vt"}
                if task == "niah_single_1":
                    facts["depths"] = [100 * row / max(1, rows - 1) for row in range(rows)]
                cells.append(AnsweredCell(checkpoint=name, task=task, length_tokens=length, scores=scores, **facts))
        losses = [
            {f"perplexity_at_{1 << i}": [-(4.0 - 0.1 * i - 0.1 * number - 0.01 * row) * 10, 10] for i in range(4)}
            for row in range(5)
        ]
        cells.append(
            FakeCell(
                checkpoint=name, benchmark="wikitext", task="wikitext_positions", metric="perplexity_at_1", rule=BUCKET, scores=losses,
                info=info,
            )
        )  # fmt: skip
    return cells


def rich_run(folder: Path, **changes: Any) -> Path:
    """`rich_cells` as a run folder with what the page shows of a run."""
    write_run(folder, rich_cells(**changes))
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["tasks"]["wikitext_positions"]["metrics"] = {f"perplexity_at_{1 << i}": BUCKET for i in range(4)}
    names = list(manifest["checkpoints"])
    manifest |= {
        "status": "success", "commit": "c0ffee", "dirty": True, "versions": {"torch": "2.13.0", "ropepp_eval": "0.1.0"},
        "ran": {name: {"device": "cpu", "attention": "sdpa", "model_name": "somewhere"} for name in names},
        "events": {names[0]: ["memory ran out: a batch was halved </script>"]},
        "arguments": {"checkpoints": names, "tasks": ["niah_single_1", "vt"], "lengths": list(LENGTHS), "samples": 12, "seed": 42},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
