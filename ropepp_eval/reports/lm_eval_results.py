"""What lm-eval's `results_DATE.json` says: which model, which tasks, which values.

Format: lm-eval 0.4.13, `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py`. Our model `ropepp` adds
`config.checkpoint`, which tells its checkpoint from all others (`NativeLM.get_model_info`), and our tasks add `metadata.row_task`, which says
what their rows are (`rows/lm_eval_task.py`); `ropepp-eval share` writes the same form (`reports/share/lm_eval_files.py`).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ropepp_eval.outside import Items, Outside, complaint_of
from ropepp_eval.reports.aggregation import STATISTICS
from ropepp_eval.reports.published import published_names

BENCHMARK = "lm-eval"
"""What tables call lm-eval's own tasks, which take no length; they are not averaged, since Table 1's average is over other
parts."""
PROTOCOL = "reference"
"""lm-eval's definitions are the short suite's reference. The paper's numbers were made with OpenCompass."""
FAILED = "failed"
"""The metric by which our tasks count rows without an answer."""
_NO_SCORES = frozenset({"bypass", FAILED})
"""What lm-eval lists beside the metrics: `bypass` (--predict_only) holds no score."""
BACKENDS = {"ropepp": "native", "ropepp-vllm": "vllm"}
"""What runs of ours call the engines behind our models."""
OURS = "ropepp-eval"
SHARES = frozenset({"acc", "acc_norm", "f1", "em", "exact_match"})
"""lm-eval's metrics that are shares of the rows, which tables show in percent."""


@dataclass(frozen=True)
class Metric:
    """One metric of a task as lm-eval wrote it."""

    key: str
    """Its name in a line of samples, such as `acc`."""
    filter: str
    """The answer filter it was made with; `none` for most tasks."""
    value: float
    stderr: float | None
    aggregation: str
    higher_is_better: bool
    scale: float
    """What tables multiply it by: 100 for percent."""

    @property
    def name(self) -> str:
        return self.key if self.filter == "none" else f"{self.key},{self.filter}"

    @property
    def made_of_rows(self) -> bool:
        """False where only lm-eval itself can make the value from the rows (such as CB's F1)."""
        return self.aggregation in STATISTICS


class RowTaskFacts(Outside):
    """`metadata.row_task` of a task of ours."""

    task: str
    benchmark: str
    averaged: bool
    length_tokens: Annotated[int, Field(ge=0)]
    protocol: str
    seed: int | None
    tokenizer_sha256: str | None
    primary: str | None = None
    """The task's first metric, where it is not the one that lm-eval's files would tell."""
    harness: str | None = None
    """What made the values where it was not lm-eval itself: only files that `ropepp-eval share` wrote say it."""


@dataclass(frozen=True)
class Task:
    """One task of a results file."""

    written: str
    """As lm-eval calls it: `piqa`, or `TASK@4k` for a task of ours at a length."""
    rows: int | None
    """How many documents were asked."""
    failed: int
    """How many of them have no answer; only our tasks count them."""
    metrics: tuple[Metric, ...]
    told: RowTaskFacts | None
    """What a task of ours says of its rows; None for lm-eval's own, which take no length and are not averaged."""

    @property
    def name(self) -> str:
        return self.told.task if self.told else self.written

    @property
    def length_tokens(self) -> int:
        return self.told.length_tokens if self.told else 0

    @property
    def benchmark(self) -> str:
        return self.told.benchmark if self.told else BENCHMARK

    @property
    def protocol(self) -> str:
        return self.told.protocol if self.told else PROTOCOL

    @property
    def averaged(self) -> bool:
        return self.told is not None and self.told.averaged

    @property
    def primary(self) -> str:
        """The metric that our own files name; of lm-eval's the one that Table 1 is compared with where the layout names one, else `acc`,
        else the first."""
        names = [metric.name for metric in self.metrics]
        wanted = (self.told.primary if self.told else None) or published_names().metrics.get(self.name, "acc")
        return wanted if wanted in names else names[0]


class _ListedMetric(Outside):
    metric: str | None = None


class _Metadata(Outside):
    scale: dict[str, float] | None = None
    row_task: RowTaskFacts | None = None


class _TaskConfig(Outside):
    metric_list: Items[_ListedMetric] | None = None
    metadata: _Metadata | None = None


class _Asked(Outside):
    effective: Annotated[int, Field(ge=0)] | None = None


class _ModelConfig(Outside):
    model: str | None = None
    model_dtype: str | None = None
    attention: str | None = None


class ResultsFile(Outside):
    """What is read of `results_DATE.json`; the rest of it may be anything. Values may be NaN or `N/A`."""

    model_config = ConfigDict(allow_inf_nan=True)
    model_name: str
    config: _ModelConfig
    configs: dict[str, _TaskConfig]
    results: dict[str, dict[str, Any]]
    asked: Annotated[dict[str, _Asked], Field(alias="n-samples")] = {}  # noqa: RUF012 (pydantic copies it)
    higher_is_better: dict[str, dict[str, bool | None]] = {}  # noqa: RUF012
    lm_eval_version: str | None = None


def why_unusable(content: Any) -> str:
    """Why this is no results file; empty where it is one."""
    if not isinstance(content, dict):
        return "not lm-eval's results"
    for part in ("results", "configs"):
        entries = content.get(part)
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            return f"not lm-eval's results (no `{part}`)"
    if not isinstance(content.get("config"), dict):
        return "not lm-eval's results (no `config`)"
    if not (content.get("model_name") and isinstance(content["model_name"], str)):
        return "no `model_name` in it"
    wrong = complaint_of(content, ResultsFile)
    return f"not lm-eval's results ({wrong})" if wrong else ""


def tasks_of(content: Mapping[str, Any]) -> list[Task]:
    """The tasks that have values; groups are left out, since their averages follow from these."""
    tasks = []
    for written, config in content["configs"].items():
        results = content["results"].get(written, {})
        told = _entry(config, "metadata", "row_task")
        metrics = _metrics(results, config, _entry(content, "higher_is_better", written))
        rows = _entry(content, "n-samples", written).get("effective", results.get("sample_len"))
        failed = results.get(f"{FAILED},none") if told else 0
        if metrics:
            tasks.append(
                Task(
                    written,
                    rows if isinstance(rows, int) else None,
                    failed if isinstance(failed, int) else 0,
                    metrics,
                    RowTaskFacts.model_validate(told) if told else None,
                )
            )
    return tasks


def _entry(content: Mapping[str, Any], part: str, task: str) -> Mapping[str, Any]:
    entries = content.get(part)
    entry = entries.get(task) if isinstance(entries, dict) else None
    return entry if isinstance(entry, dict) else {}


def _metrics(results: Mapping[str, Any], config: Mapping[str, Any], higher: Mapping[str, Any]) -> tuple[Metric, ...]:
    """From entries such as `acc,none` and `acc_stderr,none`; what is no number (`N/A`) is not known."""
    listed = config.get("metric_list")
    scales = _entry(config, "metadata", "scale")  # our own tasks say how they are shown
    declared = {entry.get("metric"): entry for entry in listed or [] if isinstance(entry, dict)}
    metrics = []
    found = {name: value for name, value in results.items() if name.partition(",")[0] not in _NO_SCORES}
    if f"{FAILED},none" in results:  # where every row failed, no metric has a value
        found = {f"{name},none": math.nan for name in declared if name} | found
    for written, value in found.items():
        key, comma, filter_name = written.partition(",")
        if comma and not key.endswith("_stderr") and is_number(value):
            stderr = results.get(f"{key}_stderr,{filter_name}")
            aggregation = str(declared.get(key, {}).get("aggregation", "mean"))  # lm-eval's default for all plain metrics
            known = float(stderr) if isinstance(stderr, (int, float)) and math.isfinite(stderr) else None
            better, scale = higher.get(key) is not False, float(scales.get(key, 100.0 if key in SHARES else 1.0))
            metrics.append(Metric(key, filter_name, float(value), known, aggregation, better, scale))
    return tuple(metrics)


def is_number(value: object) -> bool:
    """Also NaN and the infinite, which are counted later on."""
    return isinstance(value, (int, float))


def checkpoint_of_results(content: Mapping[str, Any]) -> dict[str, Any]:
    """Name, sha256, position and what else is known. Of another model than ours only lm-eval's own facts are."""
    told = content["config"].get("checkpoint")
    if isinstance(told, dict) and all(isinstance(told.get(key), str) for key in ("name", "sha256", "position")):
        return told
    config, name = content["config"], content["model_name"]
    known = {"parameters": config.get("model_num_parameters"), "max_position_embeddings": content.get("max_length")}
    return {
        "name": PurePosixPath(name).name or name,
        "sha256": str(config.get("model_sha") or ""),
        "position": "unknown",
        **{key: value for key, value in known.items() if isinstance(value, int) and value > 0},
    }


def created(content: Mapping[str, Any]) -> str:
    """The start of the evaluation as a run's manifest writes it, so that `--latest` can compare; empty where it is not told."""
    date = content.get("date")
    if not isinstance(date, (int, float)) or not 0 < date < 1e11:
        return ""
    return datetime.datetime.fromtimestamp(date, datetime.UTC).isoformat(timespec="seconds")


def settings_of_results(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a difference between two evaluations may come from, under the names of a run's settings."""
    config = content["config"]
    named = {"backend": "model", "dtype": "model_dtype", "attention": "attention", "limit": "limit"}
    known = {ours: config[theirs] for ours, theirs in named.items() if config.get(theirs) is not None}
    known["backend"] = BACKENDS.get(known.get("backend", ""), known.get("backend"))
    told = [_entry(config, "metadata", "row_task").get("harness") for config in content["configs"].values()]
    made_by = {str(harness) for harness in told if harness is not None}
    if made_by:
        others = sorted(made_by - {OURS})
        return known | ({"harness": ", ".join(others)} if others else {})
    return {"harness": f"lm-eval {content.get('lm_eval_version') or 'of unknown version'}", **known}
