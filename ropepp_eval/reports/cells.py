"""Cells: the rows of one (checkpoint, task, length, protocol), merged over any mix of run folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cell_rows import Record, Rows, ScoredRows
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.reading import Damage, RunFolder
from ropepp_eval.reports.sources import read_runs


class CellName(NamedTuple):
    """What makes a cell itself. Two runs of the same cell must agree."""

    checkpoint: str
    checkpoint_sha256: str
    position: str
    benchmark: str
    task: str
    length_tokens: int
    protocol: str

    @property
    def length(self) -> str:
        """The context length in words."""
        return length_in_words(self.benchmark, self.length_tokens)

    def __str__(self) -> str:
        return f"{self.checkpoint}, {self.task} at {self.length}, protocol {self.protocol}"


def length_in_words(benchmark: str, length_tokens: int) -> str:
    """`4k`; `any` for tasks of lm-eval's own that take no length (`0k` elsewhere: without text around what is asked for)."""
    return "any" if benchmark == LM_EVAL else format_length(length_tokens)


@dataclass(frozen=True)
class MetricRule:
    """How a metric is made from rows, as the run wrote it down."""

    aggregation: str
    higher_is_better: bool
    scale: float
    primary: bool


@dataclass(frozen=True)
class Reported:
    """A value that is known without its rows."""

    value: float | None
    stderr: float | None
    rows: int


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell with its rows, in row order, each row once."""

    name: CellName
    metrics: Mapping[str, MetricRule]
    planned: int | None
    """Rows the run meant to make; None where the manifest does not say."""
    rows: Rows
    damaged: int
    """Lines of this run's files for this cell that could not be read."""
    runs: tuple[str, ...]
    """Names of the runs that these rows came from."""
    folder: str
    """Where the (latest) run lies; for messages only."""
    settings: Mapping[str, Any]
    """dtype, attention, device, backend of the (latest) run; `harness` where lm-eval itself wrote the results."""
    reported: Mapping[str, Reported] = field(default_factory=dict)
    """By metric: values of results whose rows were not kept, or can't make the value."""
    folders: tuple[str, ...] = ()
    """Names of the run folders that the cell came from, without their paths."""
    mixed: str = ""
    """How the runs that were put together computed differently; empty where they did not."""
    averaged: bool = True
    """Whether a mean over the benchmark's tasks says something."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its rows; none for files of lm-eval's."""
        return tuple(sorted(self.rows.values("seed") - {None}))

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return int(self.rows.failed.sum())

    @property
    def fill(self) -> float | None:
        """How full the context was on average (0-1); None where a text is read through windows and so is longer than it."""
        tokens = self.rows.tokens
        if not len(tokens) or not self.name.length_tokens or tokens.max() > self.name.length_tokens:
            return None
        return int(tokens.sum()) / len(tokens) / self.name.length_tokens

    @property
    def primary(self) -> str:
        """Name of the metric that tables show."""
        return next(name for name, rule in self.metrics.items() if rule.primary)


@dataclass(frozen=True)
class Cells:
    """All cells of some run folders, in the order in which the folders were given and their plans and files name them.

    The order of the checkpoints in it is theirs in every table and picture.
    """

    cells: tuple[Cell, ...]
    damage: tuple[Damage, ...]
    checkpoints: Mapping[tuple[str, str, str], Mapping[str, Any]]
    """What the runs recorded of a checkpoint, by (name, sha256, position)."""


def read_cells(*dirs: str | Path, latest: bool = False, strict: bool = False) -> Cells:
    """Merge run folders into cells.

    Args:
        dirs: run folders, or folders of run folders.
        latest: where two runs hold the same cell and disagree, take the younger run's cell whole.
        strict: refuse a cell whose rows come from runs that computed differently (dtype, device, attention, engine).

    Raises:
        UserError: a folder holds no run; or two runs disagree about a cell and `latest` is not set; or `strict` refuses.
    """
    return cells_of_runs(*read_runs(dirs), latest=latest, strict=strict)


def cells_of_runs(
    runs: Sequence[RunFolder], damage: Sequence[Damage], *, latest: bool = False, strict: bool = False
) -> Cells:
    """`read_cells` of runs that are already read, with the damage met there.

    Raises:
        UserError: two runs disagree about a cell and `latest` is not set; or `strict` refuses.
    """
    versions: dict[CellName, list[tuple[tuple[str, str], Cell]]] = {}
    checkpoints: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for run in runs:
        for cell in _cells_of_run(run):
            versions.setdefault(cell.name, []).append((run.age, cell))
            facts = run.manifest.get("checkpoints", {}).get(cell.name.checkpoint, {})
            checkpoints[cell.name[:3]] = {**checkpoints.get(cell.name[:3], {}), **facts}
    merged = [_merge([cell for _, cell in sorted(found, key=lambda one: one[0])], latest) for found in versions.values()]
    mixed = next((cell for cell in merged if cell.mixed), None)
    if strict and mixed:
        raise UserError(
            f"{mixed.name}: its rows come from runs that computed differently ({mixed.mixed}; folders "
            f"{' and '.join(mixed.folders)}); leave one out, take the younger with --latest, or leave out --strict"
        )
    return Cells(tuple(merged), tuple(damage), checkpoints)


def _cells_of_run(run: RunFolder) -> list[Cell]:
    planned: dict[CellName, int | None] = {}
    for entry in run.manifest.get("cells", []):
        planned[_name_of(entry)] = entry.get("samples")
    rows: dict[CellName, list[Rows]] = {}
    for fields, some in run.rows:
        rows.setdefault(CellName(*fields), []).append(some)
    cells = []
    for name in [*planned, *(n for n in rows if n not in planned)]:
        lost = sum(damage.file.endswith(_file_end(name)) or damage.task == name.task for damage in run.damage)
        ordered = _once(Rows.joined(rows[name])) if name in rows else Rows.of(())
        metrics = _metrics_of(run, name.task)
        settings, reported = _settings_of(run, name.checkpoint), _reported_of(run, name.task)
        folders = (Path(run.folder).name,)
        averaged = run.manifest["tasks"][name.task].get("averaged", True)
        count = planned.get(name)
        cells.append(
            Cell(
                name, metrics, count, ordered, lost, (run.name,), run.folder, settings, reported, folders, averaged=averaged
            )
        )
    return cells


def _once(rows: Rows) -> Rows:
    """By number, each once: a row done again replaces the one before, but a failure never replaces a score."""
    numbers = rows.numbers
    if np.unique(numbers).size == len(numbers):
        return rows.take(np.argsort(numbers))
    kept: dict[int, int] = {}
    for place, (number, failed) in enumerate(zip(numbers.tolist(), rows.failed.tolist(), strict=True)):
        before = kept.get(number)
        if before is None or not failed or rows.failed[before]:
            kept[number] = place
    return rows.take(np.array([kept[number] for number in sorted(kept)], dtype=np.int64))


COMPUTED_BY = ("backend", "dtype", "device", "attention")
"""Settings that decide how an answer is computed, not what is asked."""


def _settings_of(run: RunFolder, checkpoint: str) -> dict[str, Any]:
    """The run's settings, as they became for this checkpoint where the run wrote that down."""
    ran = run.manifest.get("ran", {}).get(checkpoint, {})
    became = {"dtype": ran.get("model_dtype"), "device": ran.get("device"), "attention": ran.get("attention")}
    return {**run.manifest.get("settings", {}), **{name: value for name, value in became.items() if value is not None}}


def _file_end(name: CellName) -> str:
    return f"-{name.checkpoint_sha256[:8]}/{name.task}@{name.length_tokens}.jsonl"


def _name_of(entry: Mapping[str, Any]) -> CellName:
    return CellName(**{field: entry[field] for field in CellName._fields})


def _metrics_of(run: RunFolder, task: str) -> dict[str, MetricRule]:
    described = run.manifest["tasks"].get(task)
    if not described or not all("aggregation" in rule for rule in described.get("metrics", {"": {}}).values()):
        raise UserError(f"run {run.name}: run.json does not say how task {task} is aggregated; run the evaluation again")
    primary = described.get("primary") or next(iter(described["metrics"]))
    return {
        name: MetricRule(
            str(rule["aggregation"]).rpartition(".")[2],
            bool(rule.get("higher_is_better", True)),
            float(rule.get("scale", 1.0)),
            name == primary,
        )
        for name, rule in described["metrics"].items()
    }


def _reported_of(run: RunFolder, task: str) -> dict[str, Reported]:
    rules = run.manifest["tasks"][task]["metrics"]
    return {name: Reported(**rule["reported"]) for name, rule in rules.items() if "reported" in rule}


def _merge(versions: list[Cell], latest: bool) -> Cell:
    """One cell from the versions that runs hold of it, oldest run first."""
    newest = versions[-1]
    if len(versions) == 1 or latest:
        return newest
    rows = Rows.joined([cell.rows for cell in versions])
    first: dict[int, int] = {}
    for place, number in enumerate(rows.numbers.tolist()):
        if first.setdefault(number, place) != place and _outcome(rows[first[number]]) != _outcome(rows[place]):
            raise UserError(
                f"{newest.name}: runs {' and '.join(c.folder for c in versions)} disagree on row {number}"
                f"{_difference(versions)}; leave one run out or take the younger with --latest"
            )
    whole = next((cell for cell in reversed(versions) if cell.rows), newest)
    for cell in versions:
        metric = _other_value(cell, whole)
        if metric:
            raise UserError(
                f"{cell.name}: {cell.folder} and {whole.folder} disagree on {metric}{_difference([cell, whole])}; "
                "leave one out or take the younger with --latest"
            )
    counts = [cell.planned for cell in versions if cell.planned is not None]
    names = tuple(dict.fromkeys(name for cell in versions for name in cell.runs))
    ordered = rows.take(np.array([first[number] for number in sorted(first)], dtype=np.int64))
    lost = max(cell.damaged for cell in versions)
    planned = max(counts, default=None)
    folders = tuple(dict.fromkeys(name for cell in versions for name in cell.folders))
    mixed = _mixed([cell for cell in versions if cell.rows or cell.reported])
    return replace(whole, planned=planned, rows=ordered, damaged=lost, runs=names, folders=folders, mixed=mixed)


def _mixed(versions: list[Cell]) -> str:
    """How cells computed differently, such as `dtype bfloat16 and float32`."""
    found = []
    for setting in COMPUTED_BY:
        values = sorted({str(cell.settings[setting]) for cell in versions if setting in cell.settings})
        found += [f"{setting} {' and '.join(values)}"] if len(values) > 1 else []
    return ", ".join(found)


def _other_value(cell: Cell, whole: Cell) -> str:
    """A metric that `cell` reports without rows and that has another value in `whole`; empty where there is none."""
    for metric, known in cell.reported.items():
        value = whole.reported[metric].value if metric in whole.reported else None
        if value is None and metric in whole.metrics:
            value = aggregate(whole.metrics[metric].aggregation, scores_of(whole, metric)[1])
        if value is None or known.value is None or abs(value - known.value) > 1e-6 * max(1.0, abs(value)):
            return metric
    return ""


def _outcome(row: Record) -> tuple[Any, ...]:
    """What two runs must agree on to count as equal. NaN equals NaN here, and a score that is null one that is not there."""
    scores = sorted((name, repr(score)) for name, score in (row["scores"] or {}).items() if score is not None)
    return row["row_sha256"], scores, row["error"] is None


def _difference(versions: list[Cell]) -> str:
    """The first setting in which the runs differ, in words."""
    first, last = versions[0], versions[-1]
    if first.seeds != last.seeds:
        return f" (seeds {_join(first.seeds)} and {_join(last.seeds)})"
    for key in sorted({*first.settings, *last.settings}):
        one, other = first.settings.get(key), last.settings.get(key)
        if one != other:
            return f" ({key} {one} and {other})"
    return ""


def _join(values: Iterable[Any]) -> str:
    return "+".join(map(str, values)) or "none"


def scores_of(cell: Cell, metric: str) -> ScoredRows:
    """Rows of `cell` that have a finite score in `metric`, their scores, and how many had none that is finite."""
    return cell.rows.scored(metric)
