"""`run --dry-run`: what a plan will cost, before anything of it is answered or written."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ropepp_eval.adapters.memory import free_memory, out_of_memory
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.devices import NamedDevice, device_named
from ropepp_eval.runs.answering import make_adapter
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.estimate import Estimate, estimate
from ropepp_eval.runs.forecast import CellForecast, Forecaster, by_checkpoint
from ropepp_eval.runs.growth import open_to_runs
from ropepp_eval.runs.plan import Plan, build_plan
from ropepp_eval.runs.preflight import check_memory, check_memory_of, check_plan
from ropepp_eval.runs.progress import Building
from ropepp_eval.runs.store import RunStore
from ropepp_eval.words import counted, gib, lasting

WIDTH = 80


@dataclass(frozen=True)
class Forecast:
    """What a plan will cost, by checkpoint."""

    plan: Plan
    checkpoints: dict[str, Estimate]
    """By label; those whose rows are all there are left out."""
    device: NamedDevice | None
    there: int
    """Rows that the run folder holds already."""

    @property
    def seconds(self) -> float:
        """Of all checkpoints, one after the other."""
        return sum(one.seconds for one in self.checkpoints.values())


def dry_run(
    config: RunConfig,
    *,
    device_model: str | None = None,
    retry_failed: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Forecast:
    """Plan and check a run, and say what it will cost. Nothing is answered, and no run folder is made.

    Args:
        device_model: a device by its name (`forecasts.devices`), where this is not the machine: then a published checkpoint that was not
            fetched is taken as its card describes it. None measures this one, for which weights are needed.
        retry_failed: count failed rows among those that are asked.
        say: is told what is being done.

    Raises:
        UserError: as `execute.run`; the device is unknown; or the engine's time is not foreseen.
    """
    device = None if device_model is None else device_named(device_model)
    if config.backend != "native":
        raise UserError("--dry-run knows the native engine only; leave out --backend, or run a few rows with --samples")
    with Building(quiet=config.quiet) as building:
        plan = build_plan(config, building, by_card=device is not None)
    earlier = open_to_runs(plan.folder)
    check_plan(plan)
    if device is None:
        check_memory(plan)
    store = None if earlier is None else RunStore(plan.folder, earlier)
    forecaster = Forecaster(plan, device)
    cells = []
    for cell in plan.cells:
        rows = list(cell.rows)
        if store is not None:
            answered = {record["key"] for record in store.records(cell, retry_failed=retry_failed)}
            rows = [row for row in rows if plan.key_of(cell, row) not in answered]
        if rows:
            cells.append(forecaster.cell(cell, rows))
    if device is not None:
        check_memory_of(cells, where=device.words)
    asked = sum(len(cell.rows) for cell in cells)
    found = dict(_estimates(plan, forecaster, cells, device, say))
    return Forecast(plan, found, device, plan.rows - asked)


def _estimates(
    plan: Plan,
    forecaster: Forecaster,
    cells: Sequence[CellForecast],
    device: NamedDevice | None,
    say: Callable[[str], None],
) -> Iterator[tuple[str, Estimate]]:
    """The estimate of each checkpoint."""
    for label, own in by_checkpoint(cells).items():
        checkpoint, engine = own[0].cell.checkpoint, own[0].engine
        if device is not None:
            yield label, Estimate(tuple(own), device.rates(engine.shapes, engine.dtype, engine.attention))
            continue
        say(f"measuring this device with {label} ...")
        from ropepp_eval.adapters.native import NativeLM

        adapter = make_adapter(plan.config, checkpoint, plan.longest_row_tokens(checkpoint), log_folder=str(plan.folder))
        assert isinstance(adapter, NativeLM)
        try:
            found = estimate(forecaster, adapter, own)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"measuring {label} ran out of memory; ask for shorter --lengths, or name a larger device with --device-model"
            ) from error
        yield label, found
        del adapter
        free_memory()


def forecast_lines(forecast: Forecast) -> list[str]:
    """The forecast as a table of 80 columns, what it takes for granted below it."""
    estimates = forecast.checkpoints
    if not estimates:
        return [f"nothing to do: all {forecast.plan.rows:,} rows are in {forecast.plan.folder}"]
    table = [("checkpoint", "cells", "rows", "tokens", "disk", "memory", "time")]
    for label, one in estimates.items():
        table.append((label, *_facts(one.cells), gib(max(c.memory.total for c in one.cells)), lasting(one.seconds)))
    if len(estimates) > 1:
        every = [cell for one in estimates.values() for cell in one.cells]
        peak = max(cell.memory.total for cell in every)
        table.append(("all", *_facts(every), gib(peak), lasting(forecast.seconds)))
    lines = list(_aligned(table))
    for note in _notes(forecast):
        lines += textwrap.wrap(note, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return lines


def _facts(cells: Sequence[CellForecast]) -> tuple[str, str, str, str]:
    rows, tokens = sum(len(cell.rows) for cell in cells), sum(cell.tokens for cell in cells)
    return f"{len(cells):,}", f"{rows:,}", _short(tokens), gib(sum(cell.disk_bytes for cell in cells))


def _short(count: int) -> str:
    """A count in at most seven characters."""
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.1f} {letter}"
    return f"{count:,}"


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; a name too long for its column has a line of its own."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    room = WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)
    first = min(widths[0], room)
    for name, *facts in table:
        if len(name) > first:
            yield name
            name = ""
        yield f"{name:<{first}}" + "".join(f"  {fact:>{width}}" for fact, width in zip(facts, widths[1:], strict=True))


def _notes(forecast: Forecast) -> Iterator[str]:
    estimates = list(forecast.checkpoints.values())
    if forecast.there:
        yield f"{counted(forecast.there, 'row')} of {forecast.plan.rows:,} are in {forecast.plan.folder} and are not asked again"
    engine = estimates[0].cells[0].engine
    cards = [checkpoint.label for checkpoint in forecast.plan.checkpoints if checkpoint.info.by_card]
    if cards:
        yield f"not fetched, taken as their cards describe them: {', '.join(cards)}"
    if forecast.device is not None:
        for sentence in forecast.device.assumptions(engine.dtype):
            yield f"assumed: {sentence}"
        yield "assumed: every answer takes its whole budget, and checkpoints run one after the other"
    else:
        yield (
            "time: measured on this device with each checkpoint (reads of two lengths, some steps, one answer of a cell where that is "
            "little of the work), without loading and building rows"
        )
        trials: dict[str, list[float]] = {}
        for one in estimates:
            for (name, _), share in one.answered.items():
                trials.setdefault(name, []).append(share)
        if trials:
            shares = ", ".join(f"{name} {_span(trials[name])}" for name in sorted(trials))
            yield f"counted of answers' budgets, by trials: {shares}; of other tasks the whole"
        spread = max(one.spread for one in estimates)
        if any(one.busy for one in estimates):
            yield (
                f"this machine is busy: equal measurements differed by {spread:.0%}, and the time may be off by as much; measure again when "
                "it is quiet"
            )
    yield f"memory: the peak, {'allocated' if engine.device == 'cuda' else 'resident with Python and its libraries'}; {engine.dtype}"


def _span(shares: list[float]) -> str:
    """The smallest and the largest, or one where they print alike."""
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return low if low == high else f"{low} to {high}"
