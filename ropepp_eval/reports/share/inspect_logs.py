"""inspect's logs (`.eval`), one a cell, by inspect_ai's own API: `inspect view` and `samples_df` open them.

Read at: inspect_ai 0.3.285. A log is a task at a length, asked of one checkpoint, so that the list of logs reads like a table:
checkpoint, task@length, score. The samples of a log are the rows of the cell; a row's number is its id.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import Cell
from ropepp_eval.reports.naming import checkpoint_of
from ropepp_eval.reports.row_frame import finite, without_halves
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.reports.share.contents import Shared, in_metric, long_hash, portable_name, task_at_length, value_of

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalScore
    from inspect_ai.scorer import Score

NO_PROMPT = "(the prompt stays with its owner: share --prompts includes it)"
_STOPS = {"length": "max_tokens", "stop": "stop", "eos": "stop"}


def check_inspect() -> None:
    """Raises UserError where inspect_ai is not installed."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise UserError("--to inspect needs inspect_ai, which is not installed here; pip install 'ropepp-eval[inspect]'")


def write_logs(shared: Shared, folder: Path) -> None:
    """One `.eval` a cell; a cell without rows and without a value has none."""
    from inspect_ai.log import write_eval_log

    for cell, views in shared.each():
        if views or cell.reported:
            log = log_of(shared, cell, views)
            begun = shared.times(cell)[0].isoformat(timespec="seconds").replace(":", "-")
            name = f"{begun}_{portable_name(cell.name.task)}-{cell.name.length}_{long_hash(*cell.name)[:22]}.eval"
            write_eval_log(log, str(folder / name), format="eval")


def log_of(shared: Shared, cell: Cell, views: list[RowView]) -> EvalLog:
    """The log of one cell, with the rows that failed as samples with an error."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    name, (begun, ended) = cell.name, (time.isoformat() for time in shared.times(cell))
    identity, facts = long_hash(*name)[:22], shared.facts(cell)
    checkpoint = {"checkpoint": name.checkpoint, "checkpoint_sha256": name.checkpoint_sha256, "position": name.position}
    spec = EvalSpec(
        created=begun,
        run_id=long_hash(*cell.runs)[:22],
        eval_id=identity,
        task_id=identity,
        task=without_halves(task_at_length(cell)),
        task_args=without_halves({"length_tokens": name.length_tokens, "protocol": name.protocol}),
        dataset=EvalDataset(
            name=without_halves(name.benchmark), samples=len(views), sample_ids=[v.record["row"] for v in views]
        ),
        model=without_halves(shared.labels[checkpoint_of(cell)]),
        config=EvalConfig(epochs=1),
        packages={key: str(version) for key, version in (facts.pop("versions", None) or {}).items()},
        metadata=without_halves({**name._asdict(), "planned": cell.planned, "runs": list(cell.runs), **facts}),
    )
    results = EvalResults(
        total_samples=max(cell.planned or 0, len(views)),
        completed_samples=len(views) - cell.failed,
        scores=[_score_of_cell(cell, metric) for metric in sorted(cell.metrics, key=lambda one: one != cell.primary)],
    )
    samples = [_sample(shared, view) for view in views]
    stats = EvalStats(started_at=begun, completed_at=ended)
    return EvalLog(
        status="success", eval=spec, results=results, stats=stats, samples=samples, metadata=without_halves(checkpoint)
    )


def _score_of_cell(cell: Cell, metric: str) -> EvalScore:
    from inspect_ai.log import EvalMetric, EvalScore

    value = value_of(cell, metric)
    named = {cell.metrics[metric].aggregation: value["value"], **{name: value[name] for name in ("stderr", "low", "high")}}
    return EvalScore(
        name=without_halves(metric),
        scorer=without_halves(metric),
        scored_samples=value["rows"],
        unscored_samples=len(cell.rows) - value["rows"] if cell.rows else 0,
        metrics={name: EvalMetric(name=name, value=number) for name, number in named.items() if number is not None},
        metadata={name: value[name] for name in ("failed", "not_finite", "scale", "higher_is_better")},
    )


def _sample(shared: Shared, view: RowView) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage

    record, model = view.record, without_halves(view.cell.name.checkpoint)
    asked = without_halves(shared.prompt_of(view) if shared.prompt_of else view.question or NO_PROMPT)
    read, new = record.get("prompt_tokens") or 0, record.get("new_tokens") or 0
    output = ModelOutput()
    if view.failure is None:
        output = ModelOutput.from_content(
            model, without_halves(view.answer), _STOPS.get(str(record.get("finish")), "unknown")
        )
        output.usage = ModelUsage(input_tokens=read, output_tokens=new, total_tokens=read + new)
    failure = None if view.failure is None else without_halves(view.failure)
    return EvalSample(
        id=record["row"],
        epoch=1,
        uuid=long_hash(*view.cell.name, record["row"])[:22],
        input=asked,
        messages=[ChatMessageUser(content=asked), *([output.message] if output.choices else [])],
        choices=without_halves(record["choices"]) if record.get("choices") else None,
        target=without_halves(view.references),
        output=output,
        model_usage={} if output.usage is None else {model: output.usage},
        scores={metric: score for metric in view.cell.metrics if (score := _score(in_metric(view, metric))) is not None},
        error=None if failure is None else EvalError(message=failure, traceback="", traceback_ansi=""),
        total_time=record.get("seconds"),
        metadata=without_halves(_metadata(view)),
    )


def _score(view: RowView) -> Score | None:
    from inspect_ai.scorer import Score

    if view.score is None:
        return None
    written = finite((view.record.get("scores") or {}).get(view.metric))
    return Score(
        value=view.score, answer=without_halves(view.answer), metadata={"outcome": view.outcome, "as_stored": written}
    )


def _metadata(view: RowView) -> dict[str, Any]:
    record, depths = view.record, view.depths
    kept = ("prompt_tokens", "new_tokens", "budget", "finish", "seed", "row_sha256", "prompt_sha256", "cluster", "stand_in")
    return {
        "depth_percent": depths[0] if len(depths) == 1 else None,
        "depths_percent": depths,
        "length_tokens": view.cell.name.length_tokens,
        "outcome": view.outcome,
        "question": view.question,
        "cut": bool(record.get("cut")),
        **{name: record.get(name) for name in kept},
    }
