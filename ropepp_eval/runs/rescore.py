"""Scores of a run folder made again from its stored answers, without a model.

Each file of rows is replaced at once, beside a history in `run.json` that is written before the first of them: whoever kills this
finds every row with its old or its new scores, and the same command does the rest.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.files import write_atomically
from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.records import line_of, parse_line
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.rows.scorers import scorer_sha256
from ropepp_eval.runs.outcome import outcome_of
from ropepp_eval.runs.provenance import code_state, versions
from ropepp_eval.runs.scoring import RowIsGone, described_task, response_of, scores_of
from ropepp_eval.runs.store import LINE, RunStore, manifest_there
from ropepp_eval.runs.stored_rows import RowMaker, row_of_record, task_of_record


@dataclass
class RescoredCell:
    """What became of the rows of one cell."""

    checkpoint: str
    task: str
    length_tokens: int
    protocol: str
    metric: str = ""
    """The task's first, by which the means are."""
    scale: float = 1.0
    rows: int = 0
    current: int = 0
    """Rows that this version of the scorer had scored before."""
    changed: int = 0
    """Rows whose scores are others now, or that have scores or a failure only now."""
    before: list[Any] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    """Scores of the metric over all rows that have one."""
    aggregation: str = "mean"

    @property
    def means(self) -> tuple[float | None, float | None]:
        """The metric before and after, unscaled."""
        old, new = (aggregate(self.aggregation, scores) if scores else None for scores in (self.before, self.after))
        return old, new

    def as_json(self) -> dict[str, Any]:
        """For `run.json` and for the next program."""
        old, new = self.means
        name = {
            "checkpoint": self.checkpoint,
            "task": self.task,
            "length_tokens": self.length_tokens,
            "protocol": self.protocol,
        }
        return {**name, "metric": self.metric, "rows": self.rows, "changed": self.changed, "before": old, "after": new}


@dataclass(frozen=True)
class _File:
    """A file of rows as it becomes."""

    path: Path
    lines: tuple[bytes, ...]
    cells: tuple[RescoredCell, ...]
    differs: bool
    """Whether any line is another one now."""
    records: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Rescored:
    """What `rescore` found, and whether it is on disk."""

    cells: tuple[RescoredCell, ...]
    written: bool


def rescore(
    folder: Path,
    *,
    tasks: Sequence[str] = (),
    everything: bool = False,
    tokenizer: str | None = None,
    data_dir: str | None = None,
    dry_run: bool = False,
) -> Rescored:
    """Score again the answered rows of a run whose scorer is another version than the one that scored them.

    Args:
        folder: the run folder.
        tasks: only rows of these tasks or benchmarks.
        everything: rows that this version has scored, too.
        tokenizer, data_dir: where these lie now; only asked for where a scorer needs of a row what its line does not hold.
        dry_run: write nothing.

    Raises:
        UserError: it is no run folder, a task is unknown or not among its rows, a row can't be scored again, or another process
            writes into the folder. Nothing was written.
    """
    if dry_run:
        return Rescored(
            _cells_of(_Scoring(folder, manifest_there(folder), tasks, everything, tokenizer, data_dir).files()), False
        )
    with RunStore.reopen(folder) as store:
        files = _Scoring(folder, store.manifest, tasks, everything, tokenizer, data_dir).files()
        cells, differing = _cells_of(files), [file for file in files if file.differs]
        if differing:
            store.write_manifest(**_manifest_changes(store.manifest, files, cells))
        for file in differing:
            write_atomically(file.path, b"".join(file.lines))
    return Rescored(cells, bool(differing))


def _cells_of(files: Iterable[_File]) -> tuple[RescoredCell, ...]:
    return tuple(cell for file in files for cell in file.cells)


def _manifest_changes(manifest: Mapping[str, Any], files: Sequence[_File], cells: Sequence[RescoredCell]) -> dict[str, Any]:
    """The tasks' metrics as they are now, how the run ended with these scores, and a line of history."""
    tasks = dict(manifest["tasks"])
    for name in {cell.task for cell in cells if cell.rows > cell.current}:
        tasks[name] = {**tasks.get(name, {}), **described_task(task_of_record(name))}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    touched = [cell.as_json() for cell in cells if cell.rows > cell.current]
    history = {"when": now, "version": versions()["ropepp_eval"], **code_state(), "cells": touched}
    changes: dict[str, Any] = {"tasks": tasks, "rescored": [*manifest.get("rescored", []), history]}
    if manifest.get("finished"):
        outcome = outcome_of(record for file in files for record in file.records)
        changes |= {"status": outcome.status, "failures": outcome.lines()}
    return changes


class _Scoring:
    """Reads the files of a run and scores their rows again."""

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        tasks: Sequence[str],
        everything: bool,
        tokenizer: str | None,
        data_dir: str | None,
    ) -> None:
        self._folder, self._manifest, self._everything = folder, manifest, everything
        self._maker = RowMaker(manifest, tokenizer=tokenizer, data_dir=data_dir)
        known = {name: (name, one.get("benchmark")) for name, one in manifest["tasks"].items()}
        for name in tasks:
            if not any(name in names for names in known.values()):
                there = {str(one) for names in known.values() for one in names if one}
                raise unknown_name("task", name, there, f"these are the tasks and benchmarks of {folder}")
        self._tasks = {name for name, names in known.items() if not tasks or set(names) & set(tasks)}

    def files(self) -> list[_File]:
        """Every file of rows, as it becomes."""
        return [self._file(path) for path in sorted(self._folder.glob("rows/*/*.jsonl"))]

    def _file(self, path: Path) -> _File:
        lines: list[bytes] = []
        records: list[dict[str, Any]] = []
        cells: dict[tuple[Any, ...], RescoredCell] = {}
        differs = False
        for line in LINE.findall(path.read_bytes()):
            record, _ = parse_line(line)
            if record is None:  # cut or damaged: it stays as it is, for `run` to ask again
                lines.append(line)
                continue
            name = (record["checkpoint"], record["task"], record["length_tokens"], record["protocol"])
            cell = cells.setdefault(name, RescoredCell(*name))
            new = self._record(record) if record["task"] in self._tasks else record
            self._count(cell, record, new)
            records.append(new)
            differs |= new is not record
            lines.append(line if new is record else line_of(new))
        return _File(path, tuple(lines), tuple(cells.values()), differs, tuple(records))

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with its scores of today; the same object where it has them, or was never answered."""
        error = record["error"]
        if error is not None and error["stage"] != "score":
            return record
        task = task_of_record(record["task"])
        version = scorer_sha256(task)
        if record.get("scorer_sha256") == version and not self._everything:
            return record
        try:
            responses = [response_of(stored) for stored in record.get("responses") or []]
            row = row_of_record(record, lambda: self._maker.row(record, self._samples(record)))
            scores, failure = scores_of(task, row, responses)
        except RowIsGone as gone:
            where = f"row {record['row']} of {inert(record['task'])} at {format_length(record['length_tokens'])}"
            raise UserError(
                f"{where} can't be scored again: {gone}; name the other tasks with --task, or ask it again in a new run"
            ) from gone
        failed = None if failure is None else {"stage": failure.stage, "type": failure.type, "message": failure.message}
        return {**record, "scores": scores, "scorer_sha256": version, "error": failed}

    def _samples(self, record: Mapping[str, Any]) -> int:
        """Rows of its cell, which are made at once where one of them has to be."""
        same = ("checkpoint", "task", "length_tokens", "protocol")
        counts = [
            cell.get("samples") or 0 for cell in self._manifest.get("cells", []) if all(cell[n] == record[n] for n in same)
        ]
        return max(counts, default=0)

    def _count(self, cell: RescoredCell, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        if not cell.metric:
            described = self._manifest["tasks"].get(cell.task) or described_task(task_of_record(cell.task))
            cell.metric = described.get("primary") or next(iter(described["metrics"]))
            rule = described["metrics"][cell.metric]
            cell.aggregation, cell.scale = (
                str(rule.get("aggregation", "mean")).rpartition(".")[2],
                float(rule.get("scale", 1.0)),
            )
        cell.rows += 1
        cell.current += new is old
        cell.changed += (old["scores"], old["error"]) != (new["scores"], new["error"])
        for scores, record in ((cell.before, old), (cell.after, new)):
            score = (record["scores"] or {}).get(cell.metric)
            if score is not None:
                scores.append(tuple(score) if isinstance(score, list) else score)
