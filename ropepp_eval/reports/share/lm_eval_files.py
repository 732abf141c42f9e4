"""lm-eval's own files: `results_DATE.json` and `samples_TASK_DATE.jsonl`, a folder a checkpoint and protocol.

Format: lm-eval 0.4.13, `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py`. `lm_eval_runs` reads them back; what
lm-eval has no place for (benchmark, protocol, a name that no file can have) stands in a task's `metadata.row_task`, as our tasks inside lm-eval write it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.reports.cells import Cell
from ropepp_eval.reports.lm_eval_results import OURS, is_number
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of
from ropepp_eval.reports.row_frame import finite, without_halves
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.reports.share.contents import Shared, long_hash, portable_name, short_hash, value_of

_NOT_FACTS = ("position", "scaling", "overruled", "sha256", "name", "evidence", "settled", "stop_ids", "settings")


def write_lm_eval(shared: Shared, folder: Path) -> None:
    """Folders are numbered, so that checkpoints keep their order. Cells without any value (nothing answered yet, or all failed) are left out: lm-eval's form has no place for them."""
    groups: dict[tuple[Checkpoint, str], list[tuple[Cell, list[RowView]]]] = {}
    for cell, views in shared.each():
        groups.setdefault((checkpoint_of(cell), cell.name.protocol), []).append((cell, views))
    for number, ((checkpoint, protocol), members) in enumerate(groups.items(), start=1):
        parts = {_written(cell): (cell, views) for cell, views in members if _values(cell)}
        if parts:
            name = f"{number:02}-{portable_name(checkpoint[0])}-{short_hash(*checkpoint)}-{portable_name(protocol)}"
            _write_group(shared, folder / name, checkpoint, parts)


def _written(cell: Cell) -> str:
    """As lm-eval calls it: one word that a file's name can hold."""
    name = cell.name
    task = portable_name(name.task)
    return task if name.length == "any" else f"{task}@{name.length}"


def _values(cell: Cell) -> dict[str, dict[str, Any]]:
    """By metric, of those that have a value."""
    values = {metric: value_of(cell, metric) for metric in cell.metrics}
    return {metric: value for metric, value in values.items() if value["value"] is not None}


def _write_group(
    shared: Shared, folder: Path, checkpoint: Checkpoint, parts: Mapping[str, tuple[Cell, list[RowView]]]
) -> None:
    folder.mkdir()
    begun = max(shared.times(cell)[0] for cell, _ in parts.values())
    date = begun.isoformat().replace(":", "-")
    _put(folder / f"results_{date}.json", [json.dumps(_results(shared, checkpoint, begun.timestamp(), parts), indent=1)])
    for written, (_, views) in parts.items():
        lines = [json.dumps(without_halves(line)) for view in views for line in _samples(shared, view)]
        if lines:
            _put(folder / f"samples_{written}_{date}.jsonl", lines)


def _put(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _results(
    shared: Shared, checkpoint: Checkpoint, date: float, parts: Mapping[str, tuple[Cell, list[RowView]]]
) -> dict[str, Any]:
    name, sha256, position = checkpoint
    first = next(iter(parts.values()))[0]
    facts = {key: fact for key, fact in shared.cells.checkpoints.get(checkpoint, {}).items() if key not in _NOT_FACTS}
    versions = shared.manifest(first).get("versions") or {}
    content: dict[str, Any] = {
        "results": {written: _numbers(cell, written) for written, (cell, _) in parts.items()},
        "group_subtasks": {written: [] for written in parts},
        "configs": {written: _config(cell, written) for written, (cell, _) in parts.items()},
        "versions": dict.fromkeys(parts, 1),
        "n-shot": dict.fromkeys(parts, 0),
        "higher_is_better": {
            written: {metric.partition(",")[0]: rule.higher_is_better for metric, rule in cell.metrics.items()}
            for written, (cell, _) in parts.items()
        },
        "n-samples": {written: _counts(cell) for written, (cell, _) in parts.items()},
        "config": {
            "model": first.settings.get("backend") or "ropepp",
            "model_args": {},
            "model_num_parameters": facts.get("parameters"),
            "model_dtype": first.settings.get("dtype"),
            "attention": first.settings.get("attention"),
            "device": first.settings.get("device"),
            "checkpoint": {**facts, "name": name, "sha256": sha256, "position": position},
        },
        "git_hash": None,
        "date": date,
        "lm_eval_version": versions.get("lm_eval"),
        "model_source": "ropepp",
        "model_name": name,
        "model_name_sanitized": portable_name(name),
    }
    return dict(without_halves(finite(content)))


def _numbers(cell: Cell, written: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {"alias": written, "sample_len": _counts(cell)["effective"]}
    for metric, value in _values(cell).items():
        key, _, filter_name = metric.partition(",")
        numbers[f"{key},{filter_name or 'none'}"] = value["value"]
        numbers[f"{key}_stderr,{filter_name or 'none'}"] = "N/A" if value["stderr"] is None else value["stderr"]
    return numbers


def _config(cell: Cell, written: str) -> dict[str, Any]:
    name = cell.name
    keys = {metric: metric.partition(",")[0] for metric in cell.metrics}
    return {
        "task": written,
        "dataset_path": name.task,
        "output_type": "loglikelihood" if any(row.get("choices") for row in cell.rows) else "generate_until",
        "metric_list": [
            {
                "metric": keys[metric],
                "aggregation": "reported" if metric in cell.reported else rule.aggregation,  # rows can't make it again
                "higher_is_better": rule.higher_is_better,
            }
            for metric, rule in cell.metrics.items()
        ],
        "num_fewshot": 0,
        "metadata": {
            "version": 1,
            "scale": {keys[metric]: rule.scale for metric, rule in cell.metrics.items()},
            "row_task": {
                "benchmark": name.benchmark,
                "task": name.task,
                "length_tokens": name.length_tokens,
                "protocol": name.protocol,
                "seed": _of_rows(cell, "seed"),
                "tokenizer_sha256": _of_rows(cell, "tokenizer_sha256"),
                "primary": cell.primary,
                "averaged": cell.averaged,
                "harness": cell.settings.get("harness") or OURS,
            },
        },
    }


def _of_rows(cell: Cell, field: str) -> Any:
    """What all rows of a cell say; None where they differ or do not say it."""
    said = {row.get(field) for row in cell.rows}
    return said.pop() if len(said) == 1 else None


def _counts(cell: Cell) -> dict[str, int]:
    """Rows that were asked for, and rows that were answered: lm-eval knows no failed ones."""
    answered = len(cell.rows) - cell.failed
    effective = answered or max((known.rows for known in cell.reported.values()), default=0)
    return {"original": max(cell.planned or 0, effective), "effective": effective}


def _samples(shared: Shared, view: RowView) -> Iterator[dict[str, Any]]:
    """Lines of one row: one for each answer filter, as lm-eval writes them. None for a row that failed."""
    record, metrics = view.record, view.cell.metrics
    if record["error"] is not None:
        return
    keys = [(metric, *metric.partition(",")[::2]) for metric in metrics]
    scores = finite(record.get("scores") or {})
    prompt = {} if shared.prompt_of is None else {"gen_args_0": {"arg_0": shared.prompt_of(view)}}
    responses = finite(record.get("responses") or [])
    for filter_name in dict.fromkeys(name for _, _, name in keys):
        own = {key: scores[metric] for metric, key, name in keys if name == filter_name and _is_score(scores.get(metric))}
        yield {
            **own,  # first: lm-eval's own fields win over a metric of their name
            "doc_id": record["row"],
            "doc": {
                "row": record["row"],
                "row_sha256": record["row_sha256"],
                "question": view.question,
                "references": view.references,
                "choices": record.get("choices"),
                "prompt_tokens": record.get("prompt_tokens"),
                "max_new_tokens": record.get("budget"),
                "stand_in": bool(record.get("stand_in")),
                "cluster": record.get("cluster") or "",
                "details": json.dumps({"depths_percent": view.depths} if view.depths else {}),
                **{name: record.get(name) for name in ("new_tokens", "finish", "seconds")},
            },
            "target": view.references[0] if len(view.references) == 1 else view.references,
            "arguments": prompt,
            "resps": [[response] for response in responses],
            "filtered_resps": responses,
            "filter": filter_name or "none",
            "metrics": list(own),
            "doc_hash": record["row_sha256"],
            "prompt_hash": record.get("prompt_sha256"),
            "target_hash": long_hash(*view.references),
        }


def _is_score(score: object) -> bool:
    return is_number(score) or (isinstance(score, list) and len(score) == 2 and all(map(is_number, score)))
