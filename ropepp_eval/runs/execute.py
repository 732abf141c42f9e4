"""Execution: plan, check, have an executor answer what is not answered yet, store each row as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.adapters.answers import Answer, Failure
from ropepp_eval.errors import Interrupted
from ropepp_eval.manifests import stretches_of
from ropepp_eval.records import FORMAT
from ropepp_eval.rows.catalogue import TaskEntry
from ropepp_eval.rows.row import Row
from ropepp_eval.rows.scorers import scorer_sha256
from ropepp_eval.runs.answering import Executor, ThisProcess
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.foresight import Foresight
from ropepp_eval.runs.growth import covers, open_to_runs, other_row
from ropepp_eval.runs.outcome import Outcome, outcome_of
from ropepp_eval.runs.plan import Cell, Plan, build_plan
from ropepp_eval.runs.preflight import check_plan, describe_plan
from ropepp_eval.runs.progress import Building, Progress
from ropepp_eval.runs.provenance import code_state, versions
from ropepp_eval.runs.scoring import described_task, scores_of, stored_response
from ropepp_eval.runs.shards import shard_folders
from ropepp_eval.runs.store import RunStore, manifest_there
from ropepp_eval.runs.watch import Watch
from ropepp_eval.words import counted


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that came to its end."""

    folder: Path
    asked: dict[tuple[Any, ...], frozenset[int]]
    """Which rows of which cells it was about; the folder may hold more. See `Plan.asked`."""
    outcome: Outcome


def run(
    config: RunConfig,
    *,
    executor: Executor | None = None,
    retry_failed: bool = False,
    report: Callable[[str], None] | None = None,
) -> Finished:
    """Plan, check, execute and store a run.

    The same config goes on where an earlier process stopped; more rows, lengths, tasks or checkpoints into the same folder go on from
    what is there; finished rows are never asked again, nor those that a shard in the folder holds.

    Args:
        executor: who answers the rows; None: this process.

    Raises:
        UserError: something given can't be used, or would change answers that the folder holds; nothing was run.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; what was finished is on disk.
    """
    with contextlib.closing(executor or ThisProcess()) as answering:
        return _run(config, answering, retry_failed, report)


def _run(config: RunConfig, executor: Executor, retry_failed: bool, report: Callable[[str], None] | None) -> Finished:
    say = report or (lambda line: None)
    if config.out is not None:
        open_to_runs(config.folder_in(Path(config.out)))  # before anything is started for the run
    config = executor.prepare(config)
    with Building(quiet=config.quiet or report is None) as building:
        plan = build_plan(config, building)
    earlier = open_to_runs(plan.folder)
    if earlier is not None:
        check_same_rows(plan, earlier)
    check_plan(plan)
    for line in describe_plan(plan):
        say(line)
    manifest = manifest_of(plan)
    if earlier is not None and is_finished(plan, earlier, manifest, retry_failed):
        say(f"finished before in {plan.folder}: all {plan.rows:,} rows are there")
        return Finished(plan.folder, plan.asked, _outcome(plan, RunStore(plan.folder, earlier)))
    executor.open(plan)
    with RunStore.open(plan.folder, manifest) as store:
        try:
            if plan.config.shard is None:
                gather_shards(plan, store, say)
            execute(plan, store, executor=executor, retry_failed=retry_failed, say=say)
            outcome = _outcome(plan, store)
            ended: dict[str, Any] = {"status": outcome.status, "finished": _now()}
            if not store.is_whole:  # an earlier, larger run was never finished: this one does not make it so
                ended = {"status": _unfinished(store.earlier), "finished": None}
            store.write_manifest(**ended, failures=outcome.lines())
        except KeyboardInterrupt:
            store.note_status("cancelled")
            raise Interrupted(f"finished rows are in {store.folder}; the same command goes on from there") from None
        except BaseException:
            store.note_status("error")
            raise
    if outcome.status == "success":  # of a run without any score the command line says it even with --quiet
        for line in outcome.lines():
            say(line)
    return Finished(plan.folder, plan.asked, outcome)


def _outcome(plan: Plan, store: RunStore) -> Outcome:
    return outcome_of(record for cell in plan.cells for record in records_of(cell, plan, store))


def _unfinished(earlier: dict[str, Any] | None) -> str:
    status = (earlier or {}).get("status")
    return str(status) if status in ("cancelled", "error") else "cancelled"


def check_same_rows(plan: Plan, earlier: dict[str, Any]) -> None:
    """Raise UserError where a planned row asks something else than the answered row of the same cell and number did."""
    store = RunStore(plan.folder, earlier)
    for cell in plan.cells:
        asked = {row.row: row.sha256 for row in cell.rows}
        answered = {record["row"]: record["row_sha256"] for record in store.records(cell)}
        other = [row for row, sha256 in answered.items() if asked.get(row, sha256) != sha256]
        if other:
            raise other_row(plan.folder, earlier, cell.task.name, cell.length_tokens, min(other), plan.config.arguments())


def is_finished(plan: Plan, earlier: dict[str, Any], manifest: dict[str, Any], retry_failed: bool) -> bool:
    """Whether the folder holds every row of the plan. Nothing is written then: its disk may be read-only."""
    if not covers(earlier, manifest["cells"]):
        return False
    if not earlier.get("finished") and covers(manifest, earlier["cells"]):
        return False  # the same run, killed before it wrote how it ended
    store = RunStore(plan.folder, earlier)
    return all(sum(1 for _ in records_of(cell, plan, store, retry_failed)) == len(cell.rows) for cell in plan.cells)


def records_of(cell: Cell, plan: Plan, store: RunStore, retry_failed: bool = False) -> Iterator[dict[str, Any]]:
    """The stored records of the cell's rows, one after the other: a cell may have more of them than memory should hold at once."""
    keys = {plan.key_of(cell, row) for row in cell.rows}
    return (record for record in store.records(cell, retry_failed=retry_failed) if record["key"] in keys)


def gather_shards(plan: Plan, store: RunStore, say: Callable[[str], None]) -> None:
    """Take over the rows of the plan that shards in the run's folder hold. A row made in another way has another key, and stays there."""
    for folder in shard_folders(store.folder):
        taken = 0
        for cell in plan.cells:
            have, theirs = {record["key"] for record in store.records(cell)}, store.records_in(folder, cell)
            keys = [plan.key_of(cell, row) for row in cell.rows] if theirs else []
            new = [theirs[key] for key in keys if key in theirs and key not in have]
            if new:
                store.append(cell, *new)
            taken += len(new)
        if taken:
            shard = manifest_there(folder)
            unions = {name: {**shard.get(name, {}), **store.manifest.get(name, {})} for name in ("ran", "events")}
            store.write_manifest(**unions)
            say(f"took {counted(taken, 'row')} from {folder}")


def execute(
    plan: Plan,
    store: RunStore,
    *,
    executor: Executor | None = None,
    retry_failed: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Have every row of the plan answered that has no record yet, and store each as it comes."""
    pending = [(cell, pending_rows(cell, plan, store, retry_failed)) for cell in plan.cells]
    for damage in store.damage:
        say(f"damaged and asked again: {damage}")
    remaining = sum(len(rows) for _, rows in pending)
    if remaining < plan.rows:
        say(f"going on in {store.folder}: {plan.rows - remaining:,} of {plan.rows:,} rows are there")
    executor = executor or ThisProcess()
    missing = {id(cell): rows for cell, rows in pending}
    bar = Progress(plan, missing, quiet=plan.config.quiet)
    watch = Watch(store, bar, say, Foresight(plan, missing, say))
    with bar as progress, contextlib.closing(executor.answers(plan, pending, watch)) as answered:
        for cell, row, answers in answered:
            record = record_of(cell, row, answers, plan)
            store.append(cell, record)
            progress.row_done(cell, record)


def pending_rows(cell: Cell, plan: Plan, store: RunStore, retry_failed: bool) -> list[Row]:
    """Rows of the cell without a record."""
    done = store.finished(cell, retry_failed=retry_failed)
    return [row for row in cell.rows if plan.key_of(cell, row) not in done]


def record_of(cell: Cell, row: Row, answers: list[Answer], plan: Plan) -> dict[str, Any]:
    """One line of the store: what was asked, what was answered, what it scored, and the ledger of its tokens."""
    scores, failure = score(cell.task, row, answers)
    return {
        "format": FORMAT,
        "key": plan.key_of(cell, row),
        "checkpoint": cell.checkpoint.label,
        "checkpoint_sha256": cell.checkpoint.info.sha256,
        "position": cell.checkpoint.position,
        "benchmark": cell.task.benchmark,
        "task": cell.task.name,
        "length_tokens": cell.length_tokens,
        "protocol": plan.config.protocol_label,
        "seed": plan.config.seed,
        "tokenizer_sha256": cell.checkpoint.tokenizer.sha256,
        "row": row.row,
        "row_sha256": row.sha256,
        "prompt_tokens": row.prompt_tokens,
        "new_tokens": sum(answer.new_tokens for answer in answers),
        **({"reasoning_tokens": reasoned} if (reasoned := sum(answer.reasoning_tokens for answer in answers)) else {}),
        "budget": row.max_new_tokens,
        "finish": answers[0].finish,
        "cut": any(answer.cut for answer in answers),
        "seconds": round(sum(answer.seconds for answer in answers), 6),
        "prompt_sha256": answers[0].prompt_sha256,
        "question": row.question,
        "references": list(row.references),
        **({"choices": list(row.choices), "gold": row.gold} if row.choices else {}),
        "responses": [stored_response(answer.response) for answer in answers],
        "scores": scores,
        "scorer_sha256": scorer_sha256(cell.task),
        "stand_in": row.stand_in,
        "cluster": row.cluster,
        "details": dict(row.details),
        "error": None if failure is None else {"stage": failure.stage, "type": failure.type, "message": failure.message},
    }


def score(task: TaskEntry, row: Row, answers: Sequence[Answer]) -> tuple[dict[str, Any] | None, Failure | None]:
    """Scores of a row, or why it has none. A failed request is never scored as an empty answer."""
    for answer in answers:
        if answer.error is not None:
            return None, answer.error
    return scores_of(task, row, [answer.response for answer in answers])


def manifest_of(plan: Plan) -> dict[str, Any]:
    """What repeats the run, as `run.json` holds it."""
    config = plan.config
    tasks = {cell.task.name: cell.task for cell in plan.cells}
    command = {
        "created": _now(),
        "arguments": config.arguments(),
        "versions": versions(),
        **code_state(),
        "data_sha256": plan.data_sha256,
    }
    return {
        "format": FORMAT,
        "run_id": uuid.uuid4().hex,
        "status": "started",
        "identity": plan.identity(),
        "cells": [
            {
                "checkpoint": cell.checkpoint.label,
                "checkpoint_sha256": cell.checkpoint.info.sha256,
                "position": cell.checkpoint.position,
                "benchmark": cell.task.benchmark,
                "task": cell.task.name,
                "length_tokens": cell.length_tokens,
                "protocol": config.protocol_label,
                "samples": cell.planned_rows,
                **({} if cell.planned is None else {"rows": stretches_of(row.row for row in cell.rows)}),
            }
            for cell in plan.cells
        ],
        "tasks": {name: described_task(task) for name, task in tasks.items()},
        "checkpoints": {c.label: c.info.facts for c in plan.checkpoints},
        "sources": {c.label: c.source for c in plan.checkpoints},
        "seed": config.seed,
        "tokenizers": {
            c.label: {"name": Path(c.tokenizer.name).name, "sha256": c.tokenizer.sha256} for c in plan.checkpoints
        },
        "settings": _shared(plan),
        **command,
        "history": [command],
    }


def _shared(plan: Plan) -> dict[str, Any]:
    """dtype, attention, device and engine as they became; of several checkpoints the dtypes that differ are named together."""
    computed = list(plan.computations.values())
    fields = {"dtype": "dtype", "attention": "attention", "device": "device", "backend": "engine"}
    return {name: ", ".join(dict.fromkeys(str(one[field]) for one in computed)) for name, field in fields.items()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
