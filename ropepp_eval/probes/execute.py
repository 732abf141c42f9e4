"""Probes from checkpoints to a folder: plan, keep what is there, measure the rest, row by row, durable as it is made.

`DIR/KIND` is a run folder like any other, so `table`, `report` and `compare` read it; `DIR/KIND.png`, `.svg`, `.csv` and `.json` are the kind's
picture and its numbers.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.memory import out_of_memory
from ropepp_eval.errors import Interrupted, UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.probes.base import Measured, Probe, ProbeCell
from ropepp_eval.probes.heads import HeadFacts
from ropepp_eval.probes.plan import ProbePlan, Source
from ropepp_eval.records import FORMAT
from ropepp_eval.runs.provenance import code_state, versions
from ropepp_eval.runs.store import RunStore
from ropepp_eval.words import counted

Say = Callable[[str], None]


def run_plan(plan: ProbePlan, *, retry_failed: bool = False, say: Say = lambda _: None) -> list[dict[str, Any]]:
    """Measure what the folder lacks, and give the records of the plan's rows, failed ones included.

    Raises:
        UserError: the folder holds records that were made otherwise.
        Interrupted: Ctrl-C or a signal; finished rows are on disk.
    """
    with RunStore.open(plan.folder, _manifest(plan)) as store:
        try:
            for source in plan.sources:
                _run_source(plan, source, store, retry_failed, say)
            store.write_manifest(status="success", finished=_now())
        except KeyboardInterrupt:
            store.note_status("cancelled")
            raise Interrupted(f"finished rows are in {store.folder}; the same command goes on from there") from None
        except BaseException:
            store.note_status("error")
            raise
        return [
            record
            for source in plan.sources
            for cell in plan.cells[source.label]
            for record in _records(plan, source, cell, store)
        ]


def _run_source(plan: ProbePlan, source: Source, store: RunStore, retry_failed: bool, say: Say) -> None:
    subject = None
    for cell in plan.cells[source.label]:
        done = store.finished(cell, retry_failed=retry_failed)
        pending = [row for row in cell.rows if key_of(plan, source, cell, row) not in done]
        if not pending:
            continue
        if subject is None:
            say(f"{source.label}: loading")
            subject = source.subject()
        if not plan.probe.quick:
            say(f"{cell.label}: {cell.task} at {cell.length_tokens:,} tokens, {counted(len(pending), 'row')}")
        for row, measured in _measured(plan.probe, subject, cell, pending):
            store.append(cell, record_of(plan, source, cell, row, measured))


def _measured(probe: Probe, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterable[tuple[Any, Measured]]:
    """What the probe gives; a row for which memory ran out is a failed one, and the cell's others are left for another time."""
    left = list(rows)
    try:
        for row, measured in probe.measure(subject, cell, rows):
            left.remove(row)
            yield row, measured
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        message = f"{cell.length_tokens} tokens do not fit in memory; ask for shorter lengths, or use a smaller dtype"
        yield left[0], Measured(None, {}, Failure("memory", "OutOfMemory", message))


def key_of(plan: ProbePlan, source: Source, cell: ProbeCell, row: Any) -> str:
    """Hash of all that decides the record."""
    condition = None if cell.condition is None else cell.condition.as_json()
    return hash_json(
        {"probe": plan.probe.kind, "settings": plan.probe.settings(), **source.computed, "row": row.sha256, "row_number": row.row,
         "length_tokens": cell.length_tokens, "condition": condition}
    )  # fmt: skip


def _records(plan: ProbePlan, source: Source, cell: ProbeCell, store: RunStore) -> list[dict[str, Any]]:
    done = {record["key"]: record for record in store.records(cell)}
    keys = [key_of(plan, source, cell, row) for row in cell.rows]
    return [done[key] for key in keys if key in done]


def record_of(plan: ProbePlan, source: Source, cell: ProbeCell, row: Any, measured: Measured) -> dict[str, Any]:
    """One line of the store."""
    error = measured.error
    return {
        "key": key_of(plan, source, cell, row),
        "checkpoint": cell.label,
        "checkpoint_sha256": cell.checkpoint_sha256,
        "position": cell.position,
        "benchmark": plan.probe.kind,
        "task": cell.task,
        "length_tokens": cell.length_tokens,
        "protocol": plan.protocol,
        "seed": plan.seed,
        "tokenizer_sha256": source.tokenizer_sha256,
        "row": row.row,
        "row_sha256": row.sha256,
        "prompt_tokens": row.prompt_tokens,
        "budget": row.max_new_tokens,
        "references": list(getattr(row, "references", ())),
        "scores": None if measured.scores is None else dict(measured.scores),
        "stand_in": row.stand_in,
        "cluster": row.cluster,
        "details": dict(measured.details),
        "error": None if error is None else {"stage": error.stage, "type": error.type, "message": error.message},
        **measured.more,
    }


def _identity(plan: ProbePlan) -> dict[str, Any]:
    return {
        "checkpoints": {source.label: dict(source.computed) for source in plan.sources},
        "seed": plan.seed,
        "probe": {"kind": plan.probe.kind, **plan.probe.settings()},
    }


def _manifest(plan: ProbePlan) -> dict[str, Any]:
    by_file: dict[str, dict[str, Any]] = {}
    tasks: dict[str, dict[str, Any]] = {}
    facts: dict[str, Any] = {}
    for source in plan.sources:
        for cell in plan.cells[source.label]:
            tasks[cell.task] = plan.probe.described(cell)
            facts[cell.label] = dict(source.facts)
            entry = {
                "checkpoint": cell.label, "checkpoint_sha256": cell.checkpoint_sha256, "position": cell.position, "benchmark": plan.probe.kind,
                "task": cell.task, "length_tokens": cell.length_tokens, "protocol": plan.protocol, "samples": 0,
            }  # fmt: skip
            by_file.setdefault(cell.file, entry)["samples"] += len(cell.rows)
    command = {
        "created": _now(),
        "arguments": dict(plan.arguments),
        "versions": versions(),
        **code_state(),
        "data_sha256": None,
    }
    computed = [dict(source.computed) for source in plan.sources]
    shared = {"dtype": "dtype", "attention": "attention", "device": "device", "backend": "engine"}
    return {
        "format": FORMAT,
        "run_id": uuid.uuid4().hex,
        "status": "started",
        "identity": _identity(plan),
        "cells": list(by_file.values()),
        "tasks": tasks,
        "checkpoints": facts,
        "sources": {source.label: source.named for source in plan.sources},
        "seed": plan.seed,
        "tokenizers": {},
        "settings": {
            name: ", ".join(dict.fromkeys(str(one[field]) for one in computed if field in one))
            for name, field in shared.items()
        },
        **command,
        "history": [command],
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def frame_of(probe: Probe, subject: Any, cell: ProbeCell, facts: HeadFacts | None = None) -> Any:
    """The probe's frame of one cell that is measured here and now, without a folder.

    Raises:
        UserError: every row failed; the first one's reason.
    """
    source = Source(cell.label, {}, {}, lambda: subject)
    plan = ProbePlan(probe, Path(), (source,), {cell.label: (cell,)}, None, "reference", {})
    if facts is not None:
        probe.check(facts)
    cells = probe.cells(cell, facts)
    records = [
        record_of(plan, source, one, row, measured)
        for one in cells
        for row, measured in _measured(probe, subject, one, one.rows)
    ]
    good = [record for record in records if record["error"] is None]
    if not good:
        raise UserError(f"{probe.kind}: {records[0]['error']['message'] if records else 'no row was given'}")
    return probe.frame(good)


def engine_of(model: Any) -> SimpleNamespace:
    """What probes without texts need of a model: itself, its forward passes, its shapes."""
    from ropepp_eval.adapters.model_facts import shapes_of
    from ropepp_eval.adapters.native.forward import Forward

    shapes = shapes_of(model)
    return SimpleNamespace(model=model, forward=Forward(model, 4096), shapes=shapes)
