"""What a probe will measure: checkpoints, cells and rows, judged before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ropepp_eval.adapters.memory import available_memory, resident_memory
from ropepp_eval.adapters.native.foresight import shapes_of_info
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.calls import Read, chunks
from ropepp_eval.forecasts.memory import plan_memory
from ropepp_eval.probes.base import Probe, ProbeCell, Setting
from ropepp_eval.probes.heads import facts_of_checkpoint
from ropepp_eval.runs.answering import make_adapter
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.plan import Plan, PlannedCheckpoint, build_plan
from ropepp_eval.runs.preflight import check_memory, check_plan
from ropepp_eval.words import gib


@dataclass(frozen=True)
class Source:
    """A checkpoint, or a shape with random weights, with how to make what the probe measures."""

    label: str
    facts: Mapping[str, Any]
    """What `run.json` keeps of it."""
    computed: Mapping[str, Any]
    """All that decides its numbers: in every key."""
    subject: Callable[[], Any]
    tokenizer_sha256: str | None = None
    named: str = ""
    """What the user called it by."""


@dataclass(frozen=True)
class ProbePlan:
    """What is measured, checkpoint by checkpoint."""

    probe: Probe
    folder: Path
    """`DIR/KIND`."""
    sources: tuple[Source, ...]
    cells: Mapping[str, tuple[ProbeCell, ...]]
    """By label of the source."""
    seed: int | None
    protocol: str
    arguments: Mapping[str, Any]

    @property
    def rows(self) -> int:
        return sum(len(cell.rows) for cells in self.cells.values() for cell in cells)


def plan_rows(probe: Probe, config: RunConfig, out: Path, memory_bytes: int | None = None) -> ProbePlan:
    """The plan of a probe that looks at rows of tasks, judged as a run's plan is.

    Raises:
        UserError: as for a run; or the probe can't look into a checkpoint, or needs more memory than was allowed.
    """
    folder = out / probe.kind
    plan = build_plan(replace(config, out=None))  # the folder is judged when it is opened, with the probe's own settings
    check_plan(plan)
    check_memory(plan)
    cells: dict[str, tuple[ProbeCell, ...]] = {}
    for checkpoint in plan.checkpoints:
        facts = facts_of_checkpoint(checkpoint.info) if probe.of_heads else None
        if facts is not None:
            probe.check(facts)
        _check_memory(plan, checkpoint, memory_bytes)
        own: list[ProbeCell] = []
        for cell in plan.cells_of(checkpoint):
            plain = ProbeCell(
                checkpoint.label,
                checkpoint.info.sha256,
                checkpoint.position,
                cell.task.name,
                cell.length_tokens,
                cell.rows,
                planned=cell,
            )
            own += probe.cells(plain, facts)
        cells[checkpoint.label] = tuple(own)
    sources = tuple(_source_of(plan, checkpoint) for checkpoint in plan.checkpoints)
    return ProbePlan(probe, folder, sources, cells, config.seed, config.protocol, config.arguments())


def _source_of(plan: Plan, checkpoint: PlannedCheckpoint) -> Source:
    return Source(
        checkpoint.label, checkpoint.info.facts, plan.computations[checkpoint.label], lambda: make_adapter(plan.config, checkpoint, plan.longest_row_tokens(checkpoint), log_folder=str(plan.folder)),
        checkpoint.tokenizer.sha256, checkpoint.source,
    )  # fmt: skip


def _check_memory(plan: Plan, checkpoint: PlannedCheckpoint, memory_bytes: int | None) -> None:
    from ropepp_eval.checkpoints.loading import parse_dtype

    if memory_bytes is None:
        return
    longest = max(plan.cells_of(checkpoint), key=lambda cell: cell.longest_row_tokens)
    dtype = str(parse_dtype(plan.config.dtype, checkpoint.info.dtype)).removeprefix("torch.")
    options = dict(plan.config.adapter_options)
    tokens, chunk = longest.longest_row_tokens, int(options.get("chunk_tokens", 1024))
    held = resident_memory()
    plan_memory(
        shapes_of_info(checkpoint.info), list(chunks(Read(tokens=tokens, logits=1, capacity=tokens), chunk)), dtype=dtype,
        chunk_tokens=chunk, available_bytes=max(0, memory_bytes - held), resident_bytes=held, device="cpu",
    ).check(f"checkpoint {checkpoint.source} with {longest.task.name}")  # fmt: skip


def setting_plan(
    probe: Probe,
    sources: Sequence[tuple[Source, str, str]],
    out: Path,
    cells: Iterable[tuple[str, int, Setting]],
    arguments: Mapping[str, Any],
) -> ProbePlan:
    """The plan of a probe without rows: (source, hash, position) by (task, length, setting)."""
    wanted = list(cells)
    made = {
        source.label: tuple(ProbeCell(source.label, sha256, position, task, length, (row,)) for task, length, row in wanted)
        for source, sha256, position in sources
    }
    return ProbePlan(probe, out / probe.kind, tuple(source for source, _, _ in sources), made, None, "reference", arguments)


def memory_asked(gibibytes: float | None) -> int | None:
    """Bytes that `--memory` allows; None: no limit was asked for.

    Raises:
        UserError: it is not above 0, or more than there is.
    """
    if gibibytes is None:
        return None
    if not gibibytes > 0:
        raise UserError(f"memory {gibibytes:g} GiB is not above 0; give what the probe may take, such as --memory 4")
    asked, free = int(gibibytes * 2**30), available_memory()
    if free is not None and asked > free:
        raise UserError(f"memory {gibibytes:g} GiB is more than the {gib(free)} that are free here; give less with --memory")
    return asked
