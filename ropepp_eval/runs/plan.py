"""The plan: every cell of a run with its rows, made before any model is loaded."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.data import DataFolder, open_data
from ropepp_eval.data.left_out import NOTE
from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import TaskEntry, task_entries
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.keys import computation
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from ropepp_eval.checkpoints import CheckpointInfo


@dataclass(frozen=True)
class PlannedCheckpoint:
    """A checkpoint as the run knows it: where it is, what it is, how it is called in tables."""

    label: str
    source: str
    """What the user named: folder, hub id or card."""
    info: CheckpointInfo
    tokenizer: Tokenizer

    @property
    def position(self) -> str:
        """The position embedding with settings and scaling, where it has some: `rope`, `ropepp_ec+yarn32`."""
        return self.info.label

    @property
    def folder_name(self) -> str:
        """Name of its folder under `rows/`: readable, and never shared by two checkpoints."""
        return f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', self.label)}-{self.info.sha256[:8]}"


@dataclass(frozen=True)
class Cell:
    """(checkpoint, task, length) under the run's protocol, with its rows."""

    checkpoint: PlannedCheckpoint
    task: TaskEntry
    length_tokens: int
    rows: tuple[Row, ...]

    @property
    def tokens(self) -> int:
        """Tokens the model reads or may write in this cell."""
        return sum(row.prompt_tokens + row.max_new_tokens for row in self.rows)

    @property
    def longest_row_tokens(self) -> int:
        """Prompt and budget of the longest row; the window where a text is read through windows."""
        return max(row.window_tokens or row.prompt_tokens + row.max_new_tokens for row in self.rows)

    def __str__(self) -> str:
        return f"{self.task.name} at {format_length(self.length_tokens)}"


@dataclass(frozen=True)
class Plan:
    """All cells of a run, checkpoint by checkpoint, short lengths first."""

    config: RunConfig
    cells: tuple[Cell, ...]
    data: DataFolder
    left_out: tuple[str, ...] = ()
    """Why members of groups have no cell at a length: it does not hold them."""

    @property
    def checkpoints(self) -> list[PlannedCheckpoint]:
        return list({cell.checkpoint.label: cell.checkpoint for cell in self.cells}.values())

    def cells_of(self, checkpoint: PlannedCheckpoint) -> list[Cell]:
        return [cell for cell in self.cells if cell.checkpoint.label == checkpoint.label]

    @property
    def rows(self) -> int:
        return sum(len(cell.rows) for cell in self.cells)

    @property
    def tokens(self) -> int:
        return sum(cell.tokens for cell in self.cells)

    @property
    def stand_in(self) -> bool:
        """True where generated text stands in for a real corpus in any row."""
        return any(row.stand_in for cell in self.cells for row in cell.rows)

    @property
    def questions_left_out(self) -> list[str]:
        """Which questions of a task's corpus can't be asked, a line each."""
        found = {
            f"{cell.task.name}: {row.details[NOTE]}": None for cell in self.cells for row in cell.rows if NOTE in row.details
        }
        return list(found)

    @functools.cached_property
    def data_sha256(self) -> str | None:
        """Hash of the corpora the rows were made from; None where all of it was generated."""
        return self.data.sha256 if self.data.root is not None else None

    @functools.cached_property
    def computations(self) -> dict[str, dict[str, Any]]:
        """How the answers of each checkpoint come about, by label; see `keys.computation`."""
        return {checkpoint.label: computation(self.config, checkpoint) for checkpoint in self.checkpoints}

    def identity(self) -> dict[str, object]:
        """What makes two runs the same run: which rows are asked of which weights, and how."""
        config = self.config
        return {
            "checkpoints": self.computations,
            "tasks": list(config.tasks),
            "lengths": list(config.lengths),
            "samples": config.samples,
            "seed": config.seed,
            "rows_sha256": hash_json(sorted({row.sha256 for cell in self.cells for row in cell.rows})),
        }

    @functools.cached_property
    def folder(self) -> Path:
        """The run folder: the one named, or one that the identity names, so that the same run finds it again."""
        return Path(self.config.out) if self.config.out is not None else Path("runs") / hash_json(self.identity())[:12]


def build_plan(config: RunConfig) -> Plan:
    """Look at every checkpoint, tokenizer and corpus, and build (or read) every row.

    Raises:
        UserError: a checkpoint, tokenizer or data file is missing or wrong, or a task can't be built at a length. Only of a
            group the members that a length does not hold are left out, and the plan says so.
    """
    data = open_data(config.data_dir, offline=config.offline, repeat_text=config.repeat_text)
    checkpoints = _planned_checkpoints(config)
    rows: dict[tuple[str, str, int], tuple[Row, ...]] = {}
    left_out: dict[str, LengthTooShort] = {}
    cells = []
    for checkpoint in checkpoints:
        for task, length in _task_lengths(config):
            key = (checkpoint.tokenizer.sha256, task.name, length)
            if key not in rows:
                try:
                    rows[key] = _rows(config, task, length, checkpoint.tokenizer, data)
                except LengthTooShort as error:
                    if task.name not in config.grouped:
                        raise
                    rows[key], left_out[str(error)] = (), error
            if rows[key]:
                cells.append(Cell(checkpoint, task, length, rows[key]))
    if left_out and not cells:
        raise next(iter(left_out.values()))
    return Plan(config, tuple(cells), data, tuple(left_out))


def _task_lengths(config: RunConfig) -> Iterator[tuple[TaskEntry, int]]:
    """Every (task, length), short lengths first, so that a wrong set-up shows early; fixed prompts come once."""
    entries = task_entries()
    for length in config.lengths:
        for name in config.tasks:
            if entries[name].takes_length or length == config.lengths[0]:
                yield entries[name], length


def _rows(config: RunConfig, task: TaskEntry, length: int, tokenizer: Tokenizer, data: DataFolder) -> tuple[Row, ...]:
    request = RowRequest(
        task=task.name,
        length_tokens=length,
        samples=config.samples,
        seed=config.seed,
        protocol=config.protocol,
        tokenizer=tokenizer,
        data=data,
    )
    return tuple(frozen_rows(request, task.build_rows()))


def _planned_checkpoints(config: RunConfig) -> list[PlannedCheckpoint]:
    from ropepp_eval.checkpoints import inspect_checkpoint

    planned = []
    for source, label in zip(config.checkpoints, _labels(config.checkpoints), strict=True):
        info = inspect_checkpoint(source, position=config.position)
        tokenizer_source = config.tokenizer or str(info.folder)
        if config.tokenizer is None and not info.has_tokenizer:
            raise UserError(
                f"checkpoint {source} holds no tokenizer; name its tokenizer's folder or hub id with --tokenizer"
            )
        planned.append(PlannedCheckpoint(label, source, info, load_tokenizer(tokenizer_source)))
    return planned


def _labels(sources: tuple[str, ...]) -> list[str]:
    """The shortest ends of the paths that tell the checkpoints apart."""
    parts = [Path(source).resolve().parts if Path(source).is_dir() else tuple(source.split("/")) for source in sources]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts) and depth < max(map(len, parts)):
        depth += 1
    return ["/".join(p[-depth:]) for p in parts]
