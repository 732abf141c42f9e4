"""Our tasks for lm-eval at lengths chosen at run time: each (task, length) is an lm-eval task of its own.

lm-eval 0.4.13 does not merge dictionaries of overrides into a registered task, but its YAML `include` does what is needed:
a file of three lines includes the task's own YAML and sets the length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import parse_length
from ropepp_eval.paths import resource_dir
from ropepp_eval.rows.catalogue import read_task_yaml, resolve_tasks, task_groups


def lm_eval_tasks(names: str | Iterable[str], lengths: int | str | Iterable[int | str] = (), **metadata: Any) -> list[Any]:
    """lm-eval `Task` objects for `lm_eval.simple_evaluate(tasks=...)`, one for each (task, length).

    Args:
        names: tasks and groups of ours.
        lengths: context lengths in tokens or texts such as "4k"; none: each task's default (4k).
        **metadata: tokenizer (folder or hub id, required), samples, seed, protocol, data_dir, offline.

    Raises:
        UserError: an unknown task, a bad length, no tokenizer.
    """
    from lm_eval.tasks import TaskManager

    if "tokenizer" not in metadata:
        raise UserError("lm_eval_tasks: no tokenizer was named; give tokenizer=, a folder or hub id")
    wanted = [lengths] if isinstance(lengths, (int, str)) else list(lengths)
    entries = resolve_tasks([names] if isinstance(names, str) else names)
    with tempfile.TemporaryDirectory(prefix="ropepp-eval-tasks-") as folder:
        specs = [f"{entry.name}@{length}" for length in wanted for entry in entries] or [entry.name for entry in entries]
        write_stubs(resource_dir("tasks"), Path(folder))
        chosen = [write_at_length(spec, Path(folder)) if "@" in spec else spec for spec in specs]
        manager = TaskManager(include_path=folder, include_defaults=False, metadata=metadata)
        return list(manager.load(chosen)["tasks"].values())


def write_stubs(source: Path, folder: Path) -> None:
    """One file in `folder` for each YAML under `source` that includes it, so that one folder can serve several sources."""
    for number, path in enumerate(sorted(source.resolve().rglob("*.yaml"))):
        _write(folder / f"{source.name}-{number}-{path.name}", {"include": str(path)})


def write_at_length(spec: str, folder: Path) -> str:
    """Write `TASK@LENGTH` (or `GROUP@LENGTH`) as YAML files into `folder` and give its name in lm-eval.

    Raises:
        UserError: unknown task or bad length.
    """
    name, _, written = spec.rpartition("@")
    length = parse_length(written)
    entries = resolve_tasks([name])
    for entry in entries:
        metadata = read_task_yaml(entry.yaml_path).get("metadata", {})
        stub = {
            "include": str(entry.yaml_path.resolve()),
            "task": f"{entry.name}@{written}",
            "metadata": {**metadata, "base_task": entry.name, "length_tokens": length},
        }
        _write(folder / f"{entry.name}@{written}.yaml", stub)
    if name in task_groups():
        group = {
            "group": spec,
            "task": [f"{entry.name}@{written}" for entry in entries],
            "aggregate_metric_list": [
                {"metric": entries[0].primary.name, "aggregation": "mean", "weight_by_size": False},
            ],
        }
        _write(folder / f"{spec}.yaml", group)
    return spec


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
