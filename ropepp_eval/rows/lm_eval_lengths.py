"""Our tasks for lm-eval at lengths chosen at run time: each (task, length) is an lm-eval task of its own.

lm-eval 0.4.13 does not merge dictionaries of overrides into a registered task, so tasks are written as YAML files of their own into a
folder that lm-eval reads.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.lengths import parse_length
from ropepp_eval.rows.building import frozen_rows, request_from_metadata
from ropepp_eval.rows.catalogue import TaskEntry, catalogue, resolve_tasks, task_groups
from ropepp_eval.rows.lm_eval_own import OURS
from ropepp_eval.rows.task_files import FUNCTION, read_content

_log = logging.getLogger(__name__)


def lm_eval_tasks(names: str | Iterable[str], lengths: int | str | Iterable[int | str] = (), **metadata: Any) -> list[Any]:
    """lm-eval `Task` objects for `lm_eval.simple_evaluate(tasks=...)`, one for each (task, length).

    Args:
        names: tasks and groups of ours; of a group the members that a length does not hold are left out, with a warning.
        lengths: context lengths in tokens or texts such as "4k"; none: each task's default (4k).
        **metadata: tokenizer (folder or hub id, required), samples, seed, protocol, data_dir, offline.

    Raises:
        UserError: an unknown task, a bad length, no tokenizer.
    """
    from lm_eval.tasks import TaskManager

    if "tokenizer" not in metadata:
        raise UserError("lm_eval_tasks: no tokenizer was named; give tokenizer=, a folder or hub id")
    wanted = [lengths] if isinstance(lengths, (int, str)) else list(lengths)
    listed = [part.strip() for name in ([names] if isinstance(names, str) else names) for part in name.split(",")]
    entries = resolve_tasks(listed)
    with tempfile.TemporaryDirectory(prefix="ropepp-eval-tasks-") as folder:
        write_tasks(Path(folder))
        chosen = [entry.name for entry in entries]
        if wanted:
            written = [
                name
                for length in wanted
                for one in listed
                for name in write_at_length(f"{one}@{length}", Path(folder), metadata)
            ]
            chosen = list(dict.fromkeys(written))
        manager = TaskManager(include_path=folder, include_defaults=False, metadata=metadata)
        return list(manager.load(chosen)["tasks"].values())


def write_tasks(folder: Path) -> None:
    """All tasks and groups of the catalogue as YAML files in `folder`, so that one folder serves lm-eval with all of them."""
    found = catalogue()
    for entry in found.entries.values():
        _write(folder / f"{OURS}{entry.name}.yaml", _for_lm_eval(entry))
    for number, path in enumerate(found.others):
        _write(folder / f"{OURS}{number}-{path.name}", {"include": str(path.resolve())})


def write_stubs(source: Path, folder: Path) -> None:
    """One file in `folder` for each YAML under `source`, a folder of the user's lm-eval tasks, that includes it.

    The user's win over tasks of ours with the same name: lm-eval keeps the first one by file name.
    """
    for number, path in enumerate(sorted(source.resolve().rglob("*.yaml"))):
        _write(folder / f"a-{number}-{path.name}", {"include": str(path)})


def _for_lm_eval(entry: TaskEntry) -> dict[str, Any]:
    """The task's YAML with its functions by the names under which they are imported here, wherever the file then lies."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [renamed(inner) for inner in value]
        if isinstance(value, str) and value.startswith(f"{FUNCTION} "):
            return _Function(entry.folder.full_name(value.removeprefix(f"{FUNCTION} ")))
        return value

    content: dict[str, Any] = renamed(read_content(entry.yaml_path))
    return content


def write_at_length(spec: str, folder: Path, metadata: Mapping[str, Any], rows: int | None = None) -> list[str]:
    """Write `TASK@LENGTH` (or `GROUP@LENGTH`) as YAML files into `folder` and give the names of its tasks in lm-eval.

    Args:
        metadata: what lm-eval will hand the tasks; a group's rows are built with it to see which members the length holds.
        rows: how many rows a task are going to be asked; None: as many as `metadata` says.

    Raises:
        UserError: unknown task or bad length, or the length holds no member of the group.
    """
    name, _, written = spec.rpartition("@")
    length = parse_length(written)
    entries = resolve_tasks([name])
    if name in task_groups():
        entries = _held(entries, length, metadata, rows)
    for entry in entries:
        content = _for_lm_eval(entry)
        content["task"] = f"{entry.name}@{written}"
        content["metadata"] |= {"base_task": entry.name, "length_tokens": length}
        _write(folder / f"{entry.name}@{written}.yaml", content)
    if name in task_groups():
        group = {
            "group": spec,
            "task": [f"{entry.name}@{written}" for entry in entries],
            "aggregate_metric_list": [
                {"metric": entries[0].primary.name, "aggregation": "mean", "weight_by_size": False},
            ],
        }
        _write(folder / f"{spec}.yaml", group)
    return [f"{entry.name}@{written}" for entry in entries]


def _held(entries: list[TaskEntry], length: int, metadata: Mapping[str, Any], rows: int | None) -> list[TaskEntry]:
    """The members of a group that the length holds, as a run leaves out the others. The rows come from their cache later on."""
    request = request_from_metadata(entries[0].name, {**metadata, "length_tokens": length})
    request = replace(request, samples=min(rows or request.samples, request.samples))
    held, reasons = [], []
    for entry in entries:
        try:
            frozen_rows(replace(request, task=entry.name), entry.build_rows())
            held.append(entry)
        except LengthTooShort as error:
            reasons.append(error)
    if not held:
        raise reasons[0]
    for reason in reasons:
        _log.warning("left out: %s", reason)
    return held


class _Function(str):
    """The dotted name of a function, which YAML writes with lm-eval's tag."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar(FUNCTION, str(name)))


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")
