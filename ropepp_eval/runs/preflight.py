"""Checks between plan and execution: nothing is loaded, cut or written before every cell is known to fit."""

from __future__ import annotations

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.resolution import resolution_in_words
from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint
from ropepp_eval.words import counted


def check_plan(plan: Plan) -> None:
    """Refuse a plan with a cell that can't run as asked.

    Raises:
        UserError: dtype, attention or device are not known or not here, a row is over its checkpoint's `max_position_embeddings` (and neither going beyond nor cutting was allowed),
            the tokenizer needs more entries than the checkpoint has, or a cell does not fit in the device's memory.
    """
    from ropepp_eval.checkpoints.loading import check_attention, parse_dtype, resolved_device

    config = plan.config
    parse_dtype(config.dtype, "float32")
    if config.backend == "native":
        check_attention(config.attention)
        resolved_device(config.device)
    cutting = dict(config.adapter_options).get("truncate") is not None
    for cell in plan.cells:
        if not (config.allow_beyond_trained_length or cutting):
            _check_trained_length(cell)
    for checkpoint in plan.checkpoints:
        _check_ids(plan, checkpoint)
        if config.backend == "native":
            _check_memory(plan, checkpoint)


def _check_trained_length(cell: Cell) -> None:
    limit = cell.checkpoint.info.max_position_embeddings
    if cell.longest_row_tokens > limit:
        raise UserError(
            f"{cell}: prompt and budget of the longest row are {cell.longest_row_tokens} tokens, checkpoint "
            f"{cell.checkpoint.source} was made for {limit} (max_position_embeddings); ask for --lengths up to "
            f"{format_length(limit)}, or test extrapolation with --allow-beyond-trained-length"
        )


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


def _check_memory(plan: Plan, checkpoint: PlannedCheckpoint) -> None:
    from ropepp_eval.adapters.memory import ModelShapes, available_memory, default_chunk, plan_memory
    from ropepp_eval.checkpoints.loading import parse_dtype, resolved_device

    config = plan.config
    cell = max(plan.cells_of(checkpoint), key=lambda cell: cell.longest_row_tokens)
    dtype = str(parse_dtype(config.dtype, checkpoint.info.dtype)).removeprefix("torch.")
    device = resolved_device(config.device)
    kind = device.partition(":")[0]
    plan_memory(
        checkpoint.info,
        length_tokens=cell.longest_row_tokens,
        dtype=dtype,
        chunk_tokens=int(
            dict(config.adapter_options).get("chunk_tokens")
            or default_chunk(ModelShapes.of(checkpoint.info), dtype, kind, checkpoint.info.kernel(config.attention))
        ),
        available_bytes=available_memory(device),
        device=kind,
    ).check(f"checkpoint {checkpoint.source} with {cell.task.name}")


def describe_plan(plan: Plan) -> list[str]:
    """What will run, in a few lines for people."""
    lengths = sorted({cell.length_tokens for cell in plan.cells})
    lines = [
        f"plan: {counted(len(plan.checkpoints), 'checkpoint')} x {counted(len(plan.config.tasks), 'task')} x "
        f"{counted(len(lengths), 'length')} ({', '.join(map(format_length, lengths))}): {counted(len(plan.cells), 'cell')}, "
        f"{counted(plan.rows, 'row')}, {counted(plan.tokens, 'token')}"
    ]
    for checkpoint in plan.checkpoints:
        info = checkpoint.info
        lines.append(
            f"  {checkpoint.label}: {checkpoint.position}, {info.parameters:,} parameters, "
            f"{info.kv_bytes_per_token:,} KV bytes a token, trained at {format_length(info.max_position_embeddings)} tokens"
            + (f" ({info.note})" if info.note else "")
        )
        lines += [f"  {checkpoint.label}: {sentence}" for sentence in info.settled]
    lines += [f"  left out: {reason}" for reason in (*plan.left_out, *plan.questions_left_out)]
    lines.append(f"  {resolution_in_words(max(len(cell.rows) for cell in plan.cells))}")
    if plan.stand_in:
        lines.append(
            "  note: generated text stands in for a real corpus (--data-dir names real ones); tables mark these rows"
        )
    return lines
