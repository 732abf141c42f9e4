"""Which tasks there are: read from the YAML files of all task folders, without importing lm-eval or any task's Python."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.rows.row import Row, RowBuilder
from ropepp_eval.rows.task_files import TaskFile, task_files, task_of
from ropepp_eval.rows.task_folders import TaskFolder, open_folder, remember, task_folders


@dataclass(frozen=True)
class Metric:
    """How one metric of a task is made from its rows."""

    name: str
    aggregation: str
    """`mean`, `perplexity` (exp of minus the mean), `weighted_perplexity` or `bits_per_byte` (from pairs), as in lm-eval;
    `window_perplexity` (exp of sum over divisor, from pairs), ours."""
    higher_is_better: bool
    scale: float = 1.0
    """What a table multiplies the value by: 100 for shares shown in percent."""


@dataclass(frozen=True)
class TaskEntry:
    """One task of ours, as its YAML says."""

    name: str
    benchmark: str
    output_type: str
    description: str
    metrics: tuple[Metric, ...]
    yaml_path: Path
    folder: TaskFolder
    rows_function: str
    """`hooks.rows`, as the YAML names it."""
    results_function: str
    version: int | float | str = 1
    """`metadata.version`: raised by its author where rows or scores come out otherwise."""
    takes_length: bool = True
    """False for tasks with a fixed prompt: length then only bounds the window."""
    zero_length: bool = False
    """True where a row of length 0 is what is asked for without any text around it."""
    averaged: bool = True
    """False for variants of one task: a mean over them would say nothing."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """`generation_kwargs` of the YAML: stop strings and their like; the budget comes from the row."""

    @property
    def primary(self) -> Metric:
        """The metric that tables show."""
        return self.metrics[0]

    def build_rows(self) -> RowBuilder:
        """The function that makes this task's rows. Raises UserError where it can't be imported."""
        return self._function("custom_dataset", self.rows_function)

    def score_row(self) -> Callable[[Row, list[Any]], dict[str, Any]]:
        """The function that scores one row from its responses. Raises UserError where it can't be imported."""
        return self._function("process_results", self.results_function)

    def _function(self, asks: str, dotted: str) -> Callable[..., Any]:
        try:
            return self.folder.function(dotted)
        except UserError as error:
            raise UserError(f"{self.yaml_path}: {asks} is {error}") from error


@dataclass(frozen=True)
class Catalogue:
    """Every task and group, by name."""

    entries: Mapping[str, TaskEntry]
    groups: Mapping[str, tuple[str, ...]]
    others: tuple[Path, ...]
    """YAML files of groups and of tasks of lm-eval's own kind."""


def catalogue() -> Catalogue:
    """What all task folders hold. Raises UserError where a file is wrong or two tasks have one name."""
    return _read(task_folders())


@functools.lru_cache(maxsize=8)
def _read(folders: tuple[TaskFolder, ...]) -> Catalogue:
    entries: dict[str, TaskEntry] = {}
    groups: dict[str, tuple[str, ...]] = {}
    others = []
    known: dict[str, Path] = {}
    for folder in folders:
        for path, content in task_files(folder.path):
            read = task_of(path, content)
            if not isinstance(read, TaskFile):
                others.append(path)
            if read is None:
                continue
            field, name = ("task", read.task) if isinstance(read, TaskFile) else ("group", read.group)
            if name in known:
                raise UserError(f"{path}: {field} is {name}, a name that {known[name]} has; choose another")
            known[name] = path
            if isinstance(read, TaskFile):
                entries[name] = _entry(read, path, folder)
            else:
                groups[name] = read.task
    return Catalogue(entries, groups, tuple(others))


def _entry(read: TaskFile, path: Path, folder: TaskFolder) -> TaskEntry:
    about = read.metadata
    return TaskEntry(
        name=read.task,
        benchmark=about.benchmark,
        output_type=read.output_type,
        description=about.description,
        metrics=tuple(
            Metric(one.metric, one.aggregation, one.higher_is_better, about.scale.get(one.metric, 1.0))
            for one in read.metric_list
        ),
        yaml_path=path,
        folder=folder,
        version=about.version,
        takes_length=about.takes_length,
        zero_length=about.zero_length,
        averaged=about.averaged,
        rows_function=read.custom_dataset,
        results_function=read.process_results,
        generation=read.generation_kwargs,
    )


def task_entries() -> Mapping[str, TaskEntry]:
    """Every task of ours by name (what `tasks/` takes over from lm-eval unchanged, as in `short/`, is none)."""
    return catalogue().entries


def task_groups() -> Mapping[str, tuple[str, ...]]:
    """Every group of ours: its name and its tasks, in the YAML's order."""
    return catalogue().groups


def load_task_folder(folder: str | Path) -> list[TaskEntry]:
    """Make the tasks of a folder known to this process: its YAML files are read and the functions they name imported.

    Loading the same folder again does nothing. docs/tasks.md shows such a folder.

    Raises:
        UserError: there is no such folder, it holds no task, a YAML file lacks a field or names a task that exists, or a function
            can't be imported.
    """
    opened = open_folder(folder)
    known = task_folders()
    found = _read(known if opened in known else (*known, opened))
    entries = [entry for entry in found.entries.values() if entry.folder == opened]
    if not entries:
        raise UserError(
            f"task folder {str(folder)!r} holds no task; it needs a YAML file with `task:` (docs/tasks.md shows one)"
        )
    for entry in entries:
        entry.build_rows()
        entry.score_row()
    remember(opened)
    return entries


def resolve_tasks(names: Iterable[str]) -> list[TaskEntry]:
    """Tasks for names of tasks and groups, in the order given, each once.

    Raises:
        UserError: a name is unknown (near matches are listed), or there is none.
    """
    entries, groups = task_entries(), task_groups()
    found: dict[str, TaskEntry] = {}
    for name in (part.strip() for item in names for part in item.split(",")):
        if not name:
            continue
        if name not in entries and name not in groups:
            raise unknown_name("task", name, [*entries, *groups], "`ropepp-eval tasks` lists them")
        for task in groups.get(name, (name,)):
            if task not in entries:
                raise UserError(
                    f"group {name!r} holds {task!r}, a task of lm-eval's own with data from the hub; "
                    f"run it with `ropepp-eval lm-eval --tasks {name}`"
                )
            found[task] = entries[task]
    if not found:
        raise UserError(f"no task was named; give --tasks, such as --tasks {','.join(list(entries)[:2])}")
    return list(found.values())
