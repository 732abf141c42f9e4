"""every-eval-ever's records: an aggregate and its instances, a pair of files a checkpoint, benchmark and protocol.

Form: `eval.schema.json` and `instance_level_eval.schema.json` 0.3.0 of the package every-eval-ever, at the places its datastore has:
`data/BENCHMARK/DEVELOPER/MODEL/UUID.json` and `UUID_samples.jsonl`. What it can't say is left out and counted: a cell without a value,
and instances without a score (it demands a number, and a failure is none).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ropepp_eval import __version__
from ropepp_eval.reports.cells import Cell
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of
from ropepp_eval.reports.row_frame import without_halves
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.reports.share.contents import Shared, in_metric, long_hash, portable_name, task_at_length, value_of

SCHEMA = "0.3.0"
DEVELOPER = "local"
"""Of a checkpoint whose name says none, as `ORGANIZATION/NAME` does."""


def write_records(shared: Shared, folder: Path) -> None:
    """One aggregate with its instances a group of cells."""
    groups: dict[tuple[Checkpoint, str, str], list[tuple[Cell, list[RowView]]]] = {}
    for cell, views in shared.each():
        groups.setdefault((checkpoint_of(cell), cell.name.benchmark, cell.name.protocol), []).append((cell, views))
    for (checkpoint, benchmark, protocol), members in groups.items():
        record = _Record(shared, checkpoint, benchmark, protocol, members)
        if record.results:
            record.write(folder)


class _Record:
    """One aggregate and its instances."""

    def __init__(
        self,
        shared: Shared,
        checkpoint: Checkpoint,
        benchmark: str,
        protocol: str,
        members: list[tuple[Cell, list[RowView]]],
    ) -> None:
        self.shared, self.checkpoint, self.benchmark, self.protocol, self.members = (
            shared,
            checkpoint,
            benchmark,
            protocol,
            members,
        )
        organization, _, name = checkpoint[0].rpartition("/")
        self.developer = portable_name(organization) if organization else DEVELOPER
        self.model_id = f"{self.developer}/{portable_name(name)}"
        self.begun = max(shared.times(cell)[0] for cell, _ in members)
        made_of = (
            *checkpoint,
            benchmark,
            protocol,
            self.begun.isoformat(),
            *(run for cell, _ in members for run in cell.runs),
        )
        self.uuid = str(uuid.UUID(hex=long_hash(*made_of)[:32], version=4))  # the same results have the same name every time
        self.id = f"{benchmark}/{self.model_id}/{int(self.begun.timestamp())}/{self.uuid[:8]}"
        self.results = [
            _result(cell, metric, value)
            for cell, _ in members
            for metric in cell.metrics
            if (value := value_of(cell, metric))["value"] is not None
        ]

    def write(self, folder: Path) -> None:
        place = f"data/{portable_name(self.benchmark)}/{self.model_id}"
        (folder / place).mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(without_halves(line)) for line in self._instances()]
        aggregate = self._aggregate()
        if lines:
            name = f"{place}/{self.uuid}_samples.jsonl"
            content = ("\n".join(lines) + "\n").encode("ascii")
            (folder / name).write_bytes(content)
            aggregate["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": name,
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(content).hexdigest(),
                "total_rows": len(lines),
            }
        text = json.dumps(without_halves(aggregate), indent=1, allow_nan=False)
        (folder / place / f"{self.uuid}.json").write_text(text + "\n", encoding="ascii")

    def _aggregate(self) -> dict[str, Any]:
        first = self.members[0][0]
        name, sha256, position = self.checkpoint
        facts = self.shared.facts(first)
        versions = facts.pop("versions", {})
        engine = first.settings.get("backend")
        known = self.shared.cells.checkpoints.get(self.checkpoint, {})
        about = {key: known.get(key) for key in ("parameters", "max_position_embeddings", "kv_bytes_per_token", "note")}
        return {
            "schema_version": SCHEMA,
            "evaluation_id": self.id,
            "evaluation_timestamp": self.begun.isoformat(),
            "retrieved_timestamp": str(int(self.begun.timestamp())),
            "source_metadata": {
                "source_name": "ropepp-eval",
                "source_type": "evaluation_run",
                "source_organization_name": "not stated",
                "evaluator_relationship": "other",
            },
            "eval_library": {
                "name": "ropepp-eval",
                "version": str(versions.get("ropepp_eval", __version__)),
                "additional_details": _texts({**facts, **{f"version of {key}": value for key, value in versions.items()}}),
            },
            "model_info": {
                "name": name,
                "id": self.model_id,
                "developer": self.developer,
                **({"inference_engine": {"name": str(engine)}} if engine else {}),
                "additional_details": {
                    "deployment_type": "self_deployed",
                    "model_availability": "unknown",
                    **_texts({"sha256": sha256, "position_embedding": position, **about}),
                },
            },
            "evaluation_results": self.results,
        }

    def _instances(self) -> Iterator[dict[str, Any]]:
        for cell, views in self.members:
            told = [metric for metric in cell.metrics if value_of(cell, metric)["value"] is not None]
            for view in views:
                prompt = None if self.shared.prompt_of is None or view.failure else self.shared.prompt_of(view)
                for metric in told:
                    judged = in_metric(view, metric)
                    if judged.score is not None:
                        yield {**self._names(cell, metric), **_instance(judged, prompt)}

    def _names(self, cell: Cell, metric: str) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA,
            "evaluation_id": self.id,
            "model_id": self.model_id,
            "evaluation_name": task_at_length(cell),
            "evaluation_result_id": _result_id(cell, metric),
        }


def _result_id(cell: Cell, metric: str) -> str:
    return f"{task_at_length(cell)}/{metric}"


def _result(cell: Cell, metric: str, value: Mapping[str, Any]) -> dict[str, Any]:
    rule, name = cell.metrics[metric], cell.name
    share = rule.aggregation == "mean" and rule.scale == 100 and 0 <= value["value"] <= 1
    lowest, highest = (
        ("0" if share or rule.aggregation.endswith("perplexity") else "-Infinity"),
        "1" if share else "Infinity",
    )
    uncertainty: dict[str, Any] = {"num_samples": value["rows"]}
    if value["stderr"] is not None:
        uncertainty["standard_error"] = {
            "value": value["stderr"],
            "method": "analytic" if rule.aggregation == "mean" else "bootstrap",
        }
    if value["low"] is not None:
        uncertainty["confidence_interval"] = {"lower": value["low"], "upper": value["high"], "confidence_level": 0.95}
    counts = ("rows", "failed", "not_finite", "cut", "planned", "clusters", "fill", "seed")
    return {
        "evaluation_result_id": _result_id(cell, metric),
        "evaluation_name": task_at_length(cell),
        "source_data": {
            "dataset_name": name.task,
            "source_type": "other",
            "additional_details": _texts({"length_tokens": name.length_tokens, "stand_in": value["stand_in"]}),
        },
        "metric_config": {
            "evaluation_description": f"{name.task} of {name.benchmark} at {name.length} tokens, protocol {name.protocol}",
            "metric_id": metric,
            "metric_name": metric,
            "metric_kind": rule.aggregation,
            "metric_unit": "proportion" if share else "points",
            "lower_is_better": not rule.higher_is_better,
            "score_type": "continuous",
            "min_score": _bound(lowest),
            "max_score": _bound(highest),
            "additional_details": _texts({"primary": rule.primary, "protocol": name.protocol}),
        },
        "score_details": {
            "score": value["value"],
            "details": _texts({key: value[key] for key in counts}),
            "uncertainty": uncertainty,
        },
    }


def _bound(text: str) -> float | str:
    return text if text.endswith("Infinity") else float(text)


def _instance(view: RowView, prompt: str | None) -> dict[str, Any]:
    record, asked = view.record, prompt if prompt is not None else view.question or ""
    hashed = json.dumps({"raw": asked, "reference": view.references}, sort_keys=True)
    read, new = record.get("prompt_tokens"), record.get("new_tokens")
    tokens = None if read is None else {"input_tokens": read, "output_tokens": new or 0, "total_tokens": read + (new or 0)}
    seconds = record.get("seconds")
    about = (
        "row",
        "length_tokens",
        "protocol",
        "seed",
        "row_sha256",
        "prompt_sha256",
        "budget",
        "finish",
        "stand_in",
        "cluster",
    )
    return {
        "sample_id": f"{record['task']}/{record['row']}",
        "sample_hash": long_hash(hashed),
        "interaction_type": "single_turn",
        "input": {"raw": asked, "formatted": prompt, "reference": view.references, "choices": record.get("choices")},
        "output": {"raw": [view.answer]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": view.answer,
                "extraction_method": "custom",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": view.score, "is_correct": view.outcome == "right"},
        "token_usage": tokens,
        "performance": None if seconds is None else {"latency_ms": 1000 * seconds},
        "metadata": _texts(
            {"outcome": view.outcome, "depths_percent": view.depths or None, **{name: record.get(name) for name in about}}
        ),
    }


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as the texts that the form takes: JSON where they are none. What is not known is left out."""
    known = {name: fact for name, fact in facts.items() if fact is not None and fact != ""}
    return {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in known.items()}
