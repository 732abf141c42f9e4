"""`run.json`: what repeats a run, and the cells it planned. The one place that knows its fields and judges one that comes from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Required

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from ropepp_eval.inert import inert
from ropepp_eval.outside import complaint_of, shown
from ropepp_eval.records import READABLE, Count, Number, json_or_reason

LARGEST = 256 << 20
"""Bytes of a manifest: a plan of 24 checkpoints, 40 tasks and 6 lengths has three."""
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_NOT_AVERAGED = ("lambada", "wikitext", "openbookqa")
"""What `averaged` was in manifests from before tasks said it themselves."""


class PlannedCell(TypedDict, total=False):
    """One cell of the plan."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    checkpoint: Required[str]
    checkpoint_sha256: Required[str]
    position: Required[str]
    benchmark: Required[str]
    task: Required[str]
    length_tokens: Required[Count]
    protocol: Required[str]
    samples: Count | None
    """Rows of the cell, whichever of them this folder is to hold."""
    rows: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    """Of a shard: the numbers of its rows, as stretches [first, one past the last]; all where it is missing."""
    foreseen_seconds: Number
    """Of all its rows, as measured before the first of those that were missing; what `ropepp-eval status` goes by."""


class MetricEntry(TypedDict, total=False):
    """How a metric is made from rows."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    aggregation: str
    higher_is_better: bool
    scale: Number


class TaskInManifest(TypedDict, total=False):
    """A task as the run knew it."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    benchmark: str
    primary: str | None
    averaged: bool
    """Whether a mean over the benchmark's tasks says something; false for variants of one task."""
    folder_sha256: str
    """Of a folder of the user's that the task came from."""
    metrics: Required[Annotated[dict[str, MetricEntry], Field(min_length=1)]]


class Process(TypedDict, total=False):
    """Which process writes into the folder, or did last."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    host: str
    pid: int
    begun: str
    """When, with its zone."""
    start_ticks: int | None
    """When the system started it, in the system's own count: tells it from a later process with its number."""


class Command(TypedDict, total=False):
    """One run into the folder: what was asked for, and by which code."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    created: str | None
    arguments: Required[dict[str, Any]]
    versions: dict[str, str] | None
    commit: str | None
    dirty: bool | None
    data_sha256: str | None


class Manifest(TypedDict, total=False):
    """`run.json`. What is said of cells, tasks and checkpoints is of all runs into the folder, the rest of the last one."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    format: Required[int]
    run_id: str | None
    created: str
    status: str
    finished: str | None
    identity: dict[str, Any]
    """For each checkpoint all that decides its answers (`runs.keys.computation`), the seed, and the hashes of tasks' folders."""
    arguments: dict[str, Any]
    """Everything that repeats the last run."""
    history: list[Command]
    """Every run into the folder, oldest first; the same command again is no new one."""
    cells: list[PlannedCell]
    tasks: Required[dict[str, TaskInManifest]]
    checkpoints: dict[str, dict[str, Any]]
    sources: dict[str, str]
    """What the user named each checkpoint by."""
    seed: int | None
    tokenizers: dict[str, dict[str, Any]]
    data_sha256: str | None
    settings: dict[str, Any]
    versions: dict[str, str]
    ran: dict[str, dict[str, Any]]
    events: dict[str, list[str]]
    process: Process
    rescored: list[dict[str, Any]]
    """Each `ropepp-eval rescore`: when, by which release, and the cells with their means before and after."""
    failures: list[str]
    """Why rows failed, a line each; empty where none did."""
    commit: str | None
    dirty: bool | None


def planned_here(cell: Mapping[str, Any]) -> int | None:
    """How many rows of a planned cell its folder is to hold; None where the manifest does not say."""
    stretches = cell.get("rows")
    return cell.get("samples") if stretches is None else sum(end - begin for begin, end in stretches)


def is_planned(cell: Mapping[str, Any], row: int) -> bool:
    """Whether the folder is to hold the row of that number."""
    samples, stretches = cell.get("samples"), cell.get("rows")
    if stretches is not None:
        return any(begin <= row < end for begin, end in stretches)
    return samples is None or row < samples


def stretches_of(rows: Iterable[int]) -> list[list[int]]:
    """Numbers of rows as stretches, `rows` of a planned cell."""
    found: list[list[int]] = []
    for row in sorted(set(rows)):
        if found and found[-1][1] == row:
            found[-1][1] += 1
        else:
            found.append([row, row + 1])
    return found


def parse_manifest(content: bytes) -> tuple[dict[str, Any] | None, str]:
    """The manifest, or None and why it is none, in words that follow the file's name."""
    if len(content) > LARGEST:
        return None, f"larger than {LARGEST >> 20} MiB"
    manifest, reason = json_or_reason(content)
    if reason:
        return None, f"not readable ({reason})"
    if not isinstance(manifest, dict) or "tasks" not in manifest:
        return None, "not a run's manifest (no `tasks`)"
    if isinstance(manifest.get("format"), bool) or manifest.get("format") not in READABLE:
        return None, f"format {shown(manifest.get('format'))}, this release reads {' and '.join(map(str, READABLE))}"
    wrong = complaint_of(manifest, Manifest)
    for name, task in () if wrong else manifest["tasks"].items():
        task.setdefault("averaged", task.get("benchmark") not in _NOT_AVERAGED)
        primary = task.get("primary")
        if primary and primary not in task["metrics"]:
            wrong = f"tasks.{inert(name)[:80]}.primary is {shown(primary)}, none of its metrics"
    return (None, f"not a run's manifest ({wrong})") if wrong else (manifest, "")
