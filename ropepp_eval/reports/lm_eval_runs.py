"""Result files that lm-eval writes, read as a run: `results_DATE.json` and, with `--log_samples`, `samples_TASK_DATE.jsonl`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ropepp_eval.outside import Items, Outside, complaint_of
from ropepp_eval.records import CELL_FIELDS, Count, first_line, json_or_reason
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cell_rows import Rows
from ropepp_eval.reports.lm_eval_results import (
    FAILED,
    Metric,
    Task,
    checkpoint_of_results,
    created,
    is_number,
    settings_of_results,
    tasks_of,
    why_unusable,
)
from ropepp_eval.reports.reading import CellPart, Damage, RunFolder

RESULTS_PATTERN = "results_*.json"


def read_results_file(path: Path) -> tuple[list[RunFolder], list[Damage]]:
    """The runs that one `results_*.json` tells of, one a length and protocol (none where it can't be read), and all damage met.

    A task with samples has its rows; without, the value, standard error and number of rows that lm-eval wrote. A task whose
    rows are all there and give another value than lm-eval wrote is left out and named.
    """
    try:
        content, reason = json_or_reason(path.read_bytes(), halves=False)
        reason = f"not readable ({reason})" if reason else why_unusable(content)
    except OSError as error:
        reason = f"not readable ({first_line(error)})"
    if reason:
        return [], [Damage(path.name, None, reason)]
    together: dict[tuple[int, str], list[Task]] = {}  # what a manifest says of a task holds for one length
    for task in tasks_of(content):
        together.setdefault((task.length_tokens, task.protocol), []).append(task)
    if not together:
        return [], [Damage(path.name, None, "none of its `results` is a task with a metric")]
    runs = [_run_of(path, content, tasks) for tasks in together.values()]
    return runs, [damage for run in runs for damage in run.damage]


def _run_of(path: Path, content: Mapping[str, Any], found_tasks: Sequence[Task]) -> RunFolder:
    """The run of some tasks of a results file, with their rows."""
    checkpoint = checkpoint_of_results(content)
    rows: list[CellPart] = []
    damage: list[Damage] = []
    cells, tasks = [], {}
    for task in found_tasks:
        samples = path.parent / f"samples_{task.written}_{path.stem.removeprefix('results_')}.jsonl"
        name = _cell_name(checkpoint, task)
        inside = samples.parent == path.parent  # a task's name with a slash in it leads nowhere else
        found, broken = _read_samples(samples, task, name) if inside else ([], [])
        wrong = contradiction(task, found)
        damage += [*broken, *([Damage(samples.name, None, wrong, task.name)] if wrong else [])]
        if not wrong:
            rows += [(tuple(name.values()), Rows.of(found))] if found else []
            cells.append({**name, "samples": task.rows if found else None})
            tasks[task.name] = _described(task, has_rows=bool(found))
    manifest = {
        "created": created(content),
        "cells": cells,
        "tasks": tasks,
        "checkpoints": {checkpoint["name"]: checkpoint},
        "settings": settings_of_results(content),
    }
    return RunFolder(path.stem, str(path), manifest, tuple(rows), tuple(damage))


def _cell_name(checkpoint: Mapping[str, Any], task: Task) -> dict[str, Any]:
    overruled, scaling = checkpoint.get("overruled") or "", checkpoint.get("scaling") or "none"
    values = (
        checkpoint["name"],
        checkpoint["sha256"],
        checkpoint["position"] + (f":{overruled}" if overruled else "") + ("" if scaling == "none" else f"+{scaling}"),
        task.benchmark,
        task.name,
        task.length_tokens,
        task.protocol,
    )
    return dict(zip(CELL_FIELDS, values, strict=True))


def _described(task: Task, *, has_rows: bool) -> dict[str, Any]:
    """The task as a run's manifest describes it; `reported` where the value can't be made from rows."""
    metrics: dict[str, Any] = {}
    for metric in task.metrics:
        metrics[metric.name] = {
            "aggregation": metric.aggregation if metric.made_of_rows else "mean",
            "higher_is_better": metric.higher_is_better,
            "scale": metric.scale,
        }
        if not (has_rows and metric.made_of_rows):
            metrics[metric.name]["reported"] = {
                "value": metric.value if math.isfinite(metric.value) else None,
                "stderr": metric.stderr,
                "rows": (task.rows or 0) - task.failed,
            }
    return {"benchmark": task.benchmark, "primary": task.primary, "averaged": task.averaged, "metrics": metrics}


def contradiction(task: Task, rows: Sequence[Mapping[str, Any]]) -> str:
    """How the rows of a complete task disagree with the values in the results file; empty where they agree or can't be compared."""
    if not rows or (task.rows is not None and len(rows) < task.rows):
        return ""
    for metric in task.metrics:
        scores = [row["scores"].get(metric.name) for row in rows if row["error"] is None]
        if not metric.made_of_rows or None in scores or not math.isfinite(metric.value):
            continue
        value = aggregate(metric.aggregation, [tuple(score) if isinstance(score, list) else score for score in scores])
        if value is not None and abs(value - metric.value) > 1e-6 * max(1.0, abs(metric.value)):
            return f"its rows give {metric.name} {value:.6g}, but the results file says {metric.value:.6g}"
    return ""


def _read_samples(path: Path, task: Task, name: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Damage]]:
    """Rows of one task, one a document, and damage. No file: no rows."""
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        return [], [Damage(path.name, None, f"not readable ({first_line(error)})", task.name)]
    rows: dict[int, dict[str, Any]] = {}
    damage = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        sample, reason = _parse_sample(line, ours=task.told is not None)
        if sample is None:
            damage.append(Damage(path.name, number, reason, task.name))
            continue
        row = rows.setdefault(sample["doc_id"], _row(sample, name, task))
        if row["error"] is None:
            row["scores"] |= _scores(sample, task.metrics)  # a document has a line for each answer filter
    return list(rows.values()), damage


class Sample(Outside):
    """What is read of a line of `samples_TASK_DATE.jsonl`."""

    doc_id: Count
    doc_hash: str
    prompt_hash: str | None = None
    target_hash: str | None = None
    filter: str = "none"


class RowDoc(Outside):
    """What is read of the document of a row of ours."""

    row: Count
    row_sha256: str
    references: Items[str]
    prompt_tokens: Count | None
    max_new_tokens: Count | None
    stand_in: bool
    cluster: str
    details: str
    """JSON."""
    question: str | None = None
    new_tokens: Annotated[int, Field(ge=0)] | None = None
    finish: str | None = None
    seconds: float | None = None


def _parse_sample(line: bytes, *, ours: bool) -> tuple[dict[str, Any] | None, str]:
    sample, reason = json_or_reason(line)
    if reason:
        return None, reason
    if not isinstance(sample, dict) or "doc_id" not in sample or "doc_hash" not in sample:
        return None, "not a sample of lm-eval's (no `doc_id` or `doc_hash`)"
    wrong = complaint_of(sample, Sample) or (complaint_of(sample.get("doc"), RowDoc) if ours else "")
    return (None, f"not a sample of lm-eval's ({wrong})") if wrong else (sample, "")


def _row(sample: Mapping[str, Any], name: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """A line of the store for one document; what lm-eval does not write is missing. A row of ours is the same row as in a run."""
    if task.told is not None:
        doc, responses = sample["doc"], sample.get("filtered_resps")
        failed = sample.get(FAILED) == 1
        message = str(responses[0]) if isinstance(responses, list) and responses else "no answer"
        details, _ = json_or_reason(doc["details"].encode())
        return {
            **name,
            "seed": task.told.seed,
            "tokenizer_sha256": task.told.tokenizer_sha256,
            "row": doc["row"],
            "row_sha256": doc["row_sha256"],
            "references": doc["references"],
            "prompt_tokens": doc["prompt_tokens"],
            "budget": doc["max_new_tokens"],
            "stand_in": doc["stand_in"],
            "cluster": doc["cluster"],
            "details": details if isinstance(details, dict) else {},
            "responses": None if failed else responses,
            "scores": None if failed else {},
            "error": {"stage": "lm-eval", "type": "Unanswered", "message": message} if failed else None,
            **{field: doc[field] for field in ("question", "new_tokens", "finish", "seconds") if doc.get(field) is not None},
            **({"prompt_sha256": sample.get("prompt_hash")} if task.told.harness else {}),  # lm-eval's is of the text
        }
    parts = [name["task"], sample["doc_id"], *(sample.get(f"{part}_hash") for part in ("doc", "prompt", "target"))]
    return {
        **name,
        "seed": None,
        "tokenizer_sha256": None,
        "row": sample["doc_id"],
        "row_sha256": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        "prompt_sha256": sample.get("prompt_hash"),
        "references": [sample.get("target")],
        "responses": sample.get("filtered_resps"),
        "scores": {},
        "error": None,
    }


def _scores(sample: Mapping[str, Any], metrics: Sequence[Metric]) -> dict[str, Any]:
    """Its scores by name, of the metrics that are made from rows."""
    scores = {}
    for metric in metrics:
        score = sample.get(metric.key)
        pair = isinstance(score, list) and len(score) == 2 and all(map(is_number, score))
        if metric.made_of_rows and metric.filter == sample.get("filter", "none") and (is_number(score) or pair):
            scores[metric.name] = score
    return scores
