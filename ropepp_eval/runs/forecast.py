"""What a plan will cost, cell by cell: the calls it takes, and from them seconds, bytes in memory and bytes on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ropepp_eval.adapters.encoding import Encoder, Job
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.forecasts.calls import Call, scaled
from ropepp_eval.forecasts.devices import NamedDevice, typical_rates
from ropepp_eval.forecasts.memory import MemoryPlan
from ropepp_eval.forecasts.pace import row_proportion
from ropepp_eval.forecasts.rates import Rates, total_seconds
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row
from ropepp_eval.runs.keys import cut_at_tokens
from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint

if TYPE_CHECKING:
    from ropepp_eval.adapters.native.foresight import Engine

SAMPLE_TOKENS, SAMPLE_ROWS = 150_000, 6
"""Prompts of a cell are looked at until they have so many tokens, of rows that are generated at most so many; the rest is taken to be
like them."""
_RECORD_BYTES = 1400
"""A line of `rows/` without question, references, answer and details."""
_TOKEN_BYTES = 5
_SCORE_BYTES = 20
"""Of a token's log-probability, as a window's answer holds it."""


@dataclass(frozen=True)
class CellForecast:
    """A cell, or the rows of it that are missing."""

    cell: Cell
    rows: tuple[Row, ...]
    calls: tuple[Call, ...]
    """At budgets used up to `answered`."""
    engine: Engine
    memory: MemoryPlan
    disk_bytes: int

    def __str__(self) -> str:
        return f"checkpoint {self.cell.checkpoint.source} with {self.cell.task.name}"

    @property
    def tokens(self) -> int:
        """Tokens that are read or may be written."""
        return sum(row.prompt_tokens + row.max_new_tokens for row in self.rows)

    def seconds(self, rates: Rates) -> float:
        """Seconds that answering takes."""
        return total_seconds(self.calls, self.engine.shapes, rates, self.engine.dtype)

    @property
    def proportion(self) -> float:
        """Seconds on a typical device: right in proportion to other cells."""
        engine = self.engine
        return self.seconds(typical_rates(engine.shapes, engine.device, engine.dtype, engine.attention))

    def spread(self, seconds: float) -> list[float]:
        """Seconds of the whole cell as those of its rows, in proportion to their tokens."""
        shares = [row_proportion(row.prompt_tokens, row.max_new_tokens) for row in self.rows]
        unit = seconds / sum(shares)
        return [unit * share for share in shares]


class Room(NamedTuple):
    """Memory where rows are answered."""

    available: int | None
    """Bytes that are free; None: not known."""
    held: int = 0
    """Bytes that the process which answers holds before it loads weights, on a CPU."""


class Forecaster:
    """Forecasts of a plan's cells. Prompts that several checkpoints share are looked at once."""

    def __init__(self, plan: Plan, device: NamedDevice | None = None, room: Room | None = None) -> None:
        """
        Args:
            device: where the plan is going to run, if not on the kind of device that it was planned for.
            room: the memory there; None: the device's, or what this process has.
        """
        self.plan = plan
        self.device = device
        self._given = Room(device.free_bytes) if device is not None and room is None else room
        self.settings = Settings.of(
            {
                name: value
                for name, value in plan.config.adapter_options
                if name in {f.name for f in dataclasses.fields(Settings)}
            }
        )
        self._jobs: dict[tuple[Any, ...], list[Job]] = {}
        self._engines: dict[str, Engine] = {}

    def cell(self, cell: Cell, rows: Sequence[Row] | None = None, *, answered: float = 1.0) -> CellForecast:
        """The forecast of a cell, or of some rows of it; `answered` is the share of its budget that an answer takes."""
        rows = tuple(cell.rows if rows is None else rows)
        engine = self.engine(cell.checkpoint)
        jobs = self._sample(cell, rows)
        if cell.task.output_type == "generate_until":
            most = self._encoder(cell).max_length + 1  # what is longer is cut or refused
            of_rows = [_lengths(row, most) for row in rows]
            calls = engine.calls(jobs, of_rows=of_rows, answered=answered)
            held = engine.calls(jobs, of_rows=of_rows)
        else:
            held = engine.calls(jobs)
            looked = sum(row.prompt_tokens for row in rows[: _looked_at(cell, rows)])
            calls = scaled(held, sum(row.prompt_tokens for row in rows) / max(1, looked))
        room = self._room
        memory = engine.memory(held, available_bytes=room.available, resident_bytes=room.held)
        memory = dataclasses.replace(memory, length_tokens=cell.length_tokens or memory.length_tokens)
        return CellForecast(cell, rows, tuple(calls), engine, memory, _disk_bytes(cell, rows))

    def engine(self, checkpoint: PlannedCheckpoint) -> Engine:
        """How the engine takes the checkpoint's requests."""
        from ropepp_eval.adapters.native.foresight import Engine

        if checkpoint.label not in self._engines:
            computed = self.plan.computations[checkpoint.label]
            kind = "cuda" if self.device is not None else computed["device"]
            engine = Engine.of(
                checkpoint.info,
                dtype=computed["dtype"],
                device=kind,
                attention=self.plan.config.attention,
                settings=self.settings,
            )
            self._engines[checkpoint.label] = engine.with_free(self._room.available) if kind == "cuda" else engine
        return self._engines[checkpoint.label]

    @property
    def _room(self) -> Room:
        return _room_here(self.plan) if self._given is None else self._given

    def _sample(self, cell: Cell, rows: Sequence[Row]) -> list[Job]:
        looked = rows[: _looked_at(cell, rows)]
        key = (cell.checkpoint.tokenizer.sha256, cell.task.name, cell.length_tokens, tuple(row.row for row in looked))
        if key not in self._jobs:
            self._jobs[key] = self._encoder(cell).jobs([one for row in looked for one in requests_to(cell, row)])
        return self._jobs[key]

    def _encoder(self, cell: Cell) -> Encoder:
        checkpoint, settings = cell.checkpoint, self.settings
        longest = max(each.longest_row_tokens for each in self.plan.cells_of(checkpoint))
        cut = cut_at_tokens(self.plan.config, checkpoint)
        return Encoder(
            checkpoint.tokenizer,
            max_length=settings.max_length or cut or max(longest, checkpoint.info.max_position_embeddings),
            vocabulary=checkpoint.info.vocab_size,
            truncate=settings.truncate,
            max_gen_toks=settings.max_gen_toks,
        )


def requests_to(cell: Cell, row: Row) -> list[Any]:
    """The requests that a row of a cell makes."""
    return list(requests_of(row, cell.task.output_type, dict(cell.task.generation), row_window=True, doc=row.as_doc()))


def _lengths(row: Row, most: int) -> tuple[int, int]:
    """(prompt tokens, budget) of a row that is generated in `most` places."""
    budget = max(1, row.max_new_tokens)
    return max(1, min(row.prompt_tokens, most - budget)), budget


def _looked_at(cell: Cell, rows: Sequence[Row]) -> int:
    """How many of the first rows stand for all."""
    most = SAMPLE_ROWS if cell.task.output_type == "generate_until" else len(rows)
    tokens = 0
    for number, row in enumerate(rows[:most]):
        tokens += row.prompt_tokens * max(1, len(row.choices))
        if tokens > SAMPLE_TOKENS:
            return max(1, number)
    return min(most, len(rows))


def _room_here(plan: Plan) -> Room:
    """What is free on the plan's device, and what this process holds."""
    from ropepp_eval.adapters import memory
    from ropepp_eval.adapters.native import calibration  # noqa: F401  (what it brings in is resident while rows are answered)
    from ropepp_eval.checkpoints.loading import resolved_device

    device = resolved_device(plan.config.device)
    return Room(memory.available_memory(device), memory.resident_memory())


def _disk_bytes(cell: Cell, rows: Sequence[Row]) -> int:
    """Bytes of the lines that are going to be stored, by those of some rows."""
    some = rows[:: max(1, len(rows) // 16)]
    total = 0
    for row in some:
        said = [row.question, *row.references, *row.choices, json.dumps(dict(row.details), ensure_ascii=False)]
        answers = _TOKEN_BYTES * row.max_new_tokens + 60 * len(row.choices)
        answers += _SCORE_BYTES * row.prompt_tokens if row.stride_tokens else 0
        total += _RECORD_BYTES + sum(len(text.encode()) for text in said) + answers
    return round(total * len(rows) / max(1, len(some)))


def by_checkpoint(forecasts: Sequence[CellForecast]) -> Mapping[str, list[CellForecast]]:
    """Forecasts by the label of their checkpoint, in their order."""
    found: dict[str, list[CellForecast]] = {}
    for forecast in forecasts:
        found.setdefault(forecast.cell.checkpoint.label, []).append(forecast)
    return found
