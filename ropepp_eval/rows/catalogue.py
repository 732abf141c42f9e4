"""Which tasks there are: read from the YAML files under `tasks/`, without importing lm-eval or any task's Python."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.paths import resource_dir
from ropepp_eval.rows.row import Row, RowBuilder


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
    takes_length: bool
    """False for tasks with a fixed prompt (LAMBADA as lm-eval has it): length then only bounds the window."""
    rows_function: str = "hooks.rows"
    results_function: str = "hooks.process_results"
    generation: Mapping[str, Any] = field(default_factory=dict)
    """`generation_kwargs` of the YAML: stop strings and their like; the budget comes from the row."""

    @property
    def primary(self) -> Metric:
        """The metric that tables show."""
        return self.metrics[0]

    def build_rows(self) -> RowBuilder:
        """The function that makes this task's rows."""
        return self._hook(self.rows_function)  # type: ignore[return-value]

    def score_row(self) -> Callable[[Row, list[Any]], dict[str, Any]]:
        """The function that scores one row from its responses."""
        return self._hook(self.results_function)

    def _hook(self, dotted: str) -> Callable[..., Any]:
        module, _, name = dotted.rpartition(".")
        function: Callable[..., Any] = getattr(
            importlib.import_module(f"ropepp_eval.tasks.{self.yaml_path.parent.name}.{module}"), name
        )
        return function


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one, where there is one: nine times quicker
    """Plain YAML; `!function name` stays the text it is."""


def _function_name(loader: Any, node: yaml.Node) -> str:
    return str(loader.construct_scalar(node)) if isinstance(node, yaml.ScalarNode) else ""


_Loader.add_constructor("!function", _function_name)


def read_task_yaml(path: Path) -> dict[str, Any]:
    """A task's YAML with what it includes; functions stay names."""
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    merged: dict[str, Any] = {}
    included = content.pop("include", [])
    for name in [included] if isinstance(included, str) else included:
        merged |= read_task_yaml(path.parent / name)
    return merged | content


@functools.lru_cache(maxsize=1)
def _task_yamls() -> list[tuple[Path, dict[str, Any]]]:
    return [(path, read_task_yaml(path)) for path in sorted(resource_dir("tasks").glob("*/*.yaml"))]


@functools.lru_cache(maxsize=1)
def task_entries() -> dict[str, TaskEntry]:
    """Every task of ours by name (what `tasks/` takes over from lm-eval unchanged, as in `short/`, is none)."""
    entries = {}
    for path, content in _task_yamls():
        if "class" not in content or "task" not in content:  # a group, settings, or a task of lm-eval's own kind
            continue
        metadata = content.get("metadata", {})
        entries[content["task"]] = TaskEntry(
            name=content["task"],
            benchmark=metadata["benchmark"],
            output_type=content["output_type"],
            description=metadata.get("description", ""),
            metrics=tuple(
                Metric(
                    m["metric"],
                    m["aggregation"].rpartition(".")[2],
                    m["higher_is_better"],
                    metadata.get("scale", {}).get(m["metric"], 1.0),
                )
                for m in content["metric_list"]
            ),
            yaml_path=path,
            takes_length=metadata.get("takes_length", True),
            rows_function=content.get("custom_dataset", ""),
            results_function=content.get("process_results", ""),
            generation=content.get("generation_kwargs", {}),
        )
    return entries


@functools.lru_cache(maxsize=1)
def task_groups() -> dict[str, tuple[str, ...]]:
    """Every group of ours: its name and its tasks, in the YAML's order."""
    groups = {}
    for _, content in _task_yamls():
        if "group" in content:
            groups[content["group"]] = tuple(content["task"])
    return groups


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
        raise UserError("no task was named; give --tasks, such as --tasks niah_single_1,babilong_qa1")
    return list(found.values())
