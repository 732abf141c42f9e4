"""Checks between plan and execution: nothing is loaded, cut or written before every cell is known to fit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.outside import shown
from ropepp_eval.resolution import resolution_in_words
from ropepp_eval.runs.judging import beyond
from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.runs.forecast import CellForecast, Forecaster


def check_plan(plan: Plan) -> None:
    """Refuse a plan with a cell that can run nowhere as it was asked.

    Raises:
        UserError: a row is over its checkpoint's `max_position_embeddings` (and neither going beyond nor cutting was allowed), or the
            tokenizer needs more entries than the checkpoint has.
    """
    config = plan.config
    cutting = dict(config.adapter_options).get("truncate") is not None
    for cell in plan.cells:
        if not (config.allow_beyond_trained_length or cutting):
            _check_trained_length(cell)
    for checkpoint in plan.checkpoints:
        _check_ids(plan, checkpoint)


def _check_trained_length(cell: Cell) -> None:
    limit = cell.checkpoint.info.max_position_embeddings
    if cell.longest_row_tokens > limit:
        what = f"{cell}: the longest row, {cell.longest_row_tokens} tokens with its budget,"
        raise beyond(what, cell.checkpoint, limit)


def _check_ids(plan: Plan, checkpoint: PlannedCheckpoint) -> None:
    """A tokenizer may have entries that no row uses (a pad token); the first row of each cell shows one that is another model's."""
    tokenizer, limit = checkpoint.tokenizer, checkpoint.info.vocab_size
    if max(tokenizer.fast.get_vocab().values(), default=0) < limit:  # ids may have gaps
        return
    for cell in plan.cells_of(checkpoint):
        outside = max(tokenizer.prompt_ids(cell.rows[0].prompt), default=0)
        if outside >= limit:
            raise UserError(
                f"tokenizer {tokenizer.name} has {len(tokenizer.fast)} entries, checkpoint {checkpoint.source} has room for {limit}, "
                f"and row 0 of {cell} needs entry {outside}; name the tokenizer the checkpoint was trained with by --tokenizer"
            )


def check_memory(plan: Plan) -> None:
    """Raise UserError for the first cell that does not fit in the memory that this process has."""
    from ropepp_eval.runs.forecast import Forecaster

    check_memory_of(largest_cells(plan, Forecaster(plan)))


def largest_cells(plan: Plan, forecaster: Forecaster) -> Iterator[CellForecast]:
    """What memory is judged by: of each checkpoint the longest cell of each kind of request. Nothing of an engine that shares out its
    memory by itself."""
    for checkpoint in plan.checkpoints if plan.config.backend == "native" else ():
        longest: dict[str, Cell] = {}
        for cell in plan.cells_of(checkpoint):
            kind = cell.task.output_type
            if kind not in longest or cell.longest_row_tokens > longest[kind].longest_row_tokens:
                longest[kind] = cell
        yield from map(forecaster.cell, longest.values())


def check_memory_of(cells: Iterable[CellForecast], where: str = "") -> None:
    """Raise UserError for the first cell that does not fit in memory; `where`: on which device, if not here."""
    for forecast in cells:
        forecast.memory.check(f"{forecast} on {where}" if where else str(forecast))


def describe_plan(plan: Plan) -> list[str]:
    """What will run, in a few lines for people, at most 80 columns wide where names allow it."""
    cells = f"{counted(len(plan.cells), 'cell')}, {counted(plan.rows, 'row')}, {counted(plan.tokens, 'token')}"
    lengths = sorted({cell.length_tokens for cell in plan.cells})
    lines = [f"plan: {cells}", *_checkpoint_lines(plan)]
    lines += _folded("tasks", ", ".join(dict.fromkeys(cell.task.name for cell in plan.cells)))
    lines += _folded("lengths", ", ".join(map(format_length, lengths)))
    lines += _folded("rows", resolution_in_words(max(len(cell.rows) for cell in plan.cells)))
    for note in _notes(plan):
        lines += _folded("note", note)
    return lines


_WIDTH = 80
_NAME_WIDTH = 28


def _checkpoint_lines(plan: Plan) -> list[str]:
    """A small table, one line a checkpoint; a name too long for its column has a line of its own."""
    table = [("checkpoint", "position", "parameters", "KV bytes/token", "trained at")]
    for checkpoint in plan.checkpoints:
        info = checkpoint.info
        trained = format_length(info.max_position_embeddings)
        table.append(
            (checkpoint.label, checkpoint.position, f"{info.parameters:,}", f"{info.kv_bytes_per_token:,}", trained)
        )
    widths = [min(_NAME_WIDTH, max(len(row[0]) for row in table)), *(max(len(row[i]) for row in table) for i in range(1, 5))]
    lines = []
    for name, *facts in table:
        if len(name) > widths[0]:
            lines.append(f"  {name}")
            name = ""
        cells = [f"{name:<{widths[0]}}", f"{facts[0]:<{widths[1]}}"]
        cells += [f"{fact:>{width}}" for fact, width in zip(facts[1:], widths[2:], strict=True)]
        lines.append("  " + "  ".join(cells))
    return lines


def _notes(plan: Plan) -> list[str]:
    """What holds for some checkpoints, each sentence once, then what is left out and stood in for."""
    said: dict[str, list[str]] = {}
    for checkpoint in plan.checkpoints:
        for sentence in (*([checkpoint.info.note] if checkpoint.info.note else []), *checkpoint.info.settled):
            said.setdefault(sentence, []).append(checkpoint.label)
    everyone = len(plan.checkpoints)
    notes = [
        f"{'all checkpoints' if len(labels) == everyone > 1 else ', '.join(labels)}: {sentence}"
        for sentence, labels in said.items()
    ]
    if (chat := plan.checkpoints[0].tokenizer.chat) is not None:
        system = "" if chat.system is None else f", system message {shown(chat.system)}"
        thought = (
            f", up to {chat.reasoning_budget:,} tokens of thinking that are not scored" if chat.reasoning_budget else ""
        )
        notes.append(f"prompts are in the tokenizer's chat template{system}{thought}")
    notes += [f"left out: {reason}" for reason in (*plan.left_out, *plan.questions_left_out)]
    if plan.stand_in:
        notes.append("generated text stands in for a real corpus (--data-dir names real ones); tables mark these rows")
    return notes


def _folded(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"  {name:<8}{text}", _WIDTH, subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip
