"""Checks between plan and execution: nothing is loaded, cut or written before every cell is known to fit."""

from __future__ import annotations

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.runs.plan import Cell, Plan


def check_plan(plan: Plan) -> None:
    """Refuse a plan with a cell that can't run as asked.

    Raises:
        UserError: a row is over its checkpoint's `max_position_embeddings` (and going beyond was not allowed), or a token id is
            outside the checkpoint's vocabulary.
    """
    for cell in plan.cells:
        if not plan.config.allow_beyond_trained_length:
            _check_trained_length(cell)
    for checkpoint in plan.checkpoints:
        size, limit = len(checkpoint.tokenizer.fast), checkpoint.info.vocab_size
        if size > limit:
            raise UserError(
                f"tokenizer {checkpoint.tokenizer.name} has {size} entries, checkpoint {checkpoint.source} has room for {limit}; "
                "name the tokenizer the checkpoint was trained with by --tokenizer"
            )


def _check_trained_length(cell: Cell) -> None:
    limit = cell.checkpoint.info.max_position_embeddings
    if cell.longest_row_tokens > limit:
        raise UserError(
            f"{cell}: prompt and budget of the longest row are {cell.longest_row_tokens} tokens, checkpoint "
            f"{cell.checkpoint.source} was made for {limit} (max_position_embeddings); ask for --lengths up to "
            f"{format_length(limit)}, or test extrapolation with --allow-beyond-trained-length"
        )


def describe_plan(plan: Plan) -> list[str]:
    """What will run, in a few lines for people."""
    lengths = sorted({cell.length_tokens for cell in plan.cells})
    lines = [
        f"plan: {len(plan.checkpoints)} checkpoints x {len(plan.config.tasks)} tasks x {len(lengths)} lengths "
        f"({', '.join(map(format_length, lengths))}): {len(plan.cells)} cells, {plan.rows:,} rows, {plan.tokens:,} tokens"
    ]
    for checkpoint in plan.checkpoints:
        info = checkpoint.info
        lines.append(
            f"  {checkpoint.label}: {checkpoint.position}, {info.parameters:,} parameters, "
            f"{info.kv_bytes_per_token:,} KV bytes a token, made for {format_length(info.max_position_embeddings)}"
            + (f" ({checkpoint.note})" if checkpoint.note else "")
        )
    if plan.stand_in:
        lines.append(
            "  note: generated text stands in for a real corpus (--data-dir names real ones); tables mark these rows"
        )
    return lines
