"""What can be judged before any row is built: the device, the engine, the attention, the lengths."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.catalogue import TaskEntry
from ropepp_eval.runs.config import RunConfig

if TYPE_CHECKING:
    from ropepp_eval.runs.plan import PlannedCheckpoint


def check_surroundings(config: RunConfig) -> None:
    """Register the position embeddings of the user's files, and refuse what this machine has not.

    Raises:
        UserError: a module can't be loaded; the device, the attention or the engine is unknown or not here.
    """
    from ropepp_eval.checkpoints.loading import check_attention, resolved_device
    from ropepp_eval.positions import load_position_module

    for file in config.position_module:
        load_position_module(file)
    if config.backend == "vllm":
        from ropepp_eval.adapters.vllm.engine import require_vllm

        require_vllm()
        return
    if config.elsewhere:  # each worker judges its own machine
        return
    device = resolved_device(config.device)
    if config.attention not in ("eager", "sdpa"):  # these every transformers has; for others it is asked
        check_attention(config.attention, device)
    if config.attention == "flash_attention_2" and not any(map(importlib.util.find_spec, ("flash_attn", "kernels"))):
        raise UserError(
            "attention 'flash_attention_2' needs the package flash-attn, which is not installed; use --attention sdpa"
        )


def check_lengths(
    config: RunConfig, checkpoints: Sequence[PlannedCheckpoint], wanted: Sequence[tuple[TaskEntry, int]]
) -> None:
    """Raise UserError where a length is past a checkpoint's, and neither going beyond nor cutting was allowed."""
    if config.allow_beyond_trained_length or dict(config.adapter_options).get("truncate") is not None:
        return
    for checkpoint in checkpoints:
        limit = checkpoint.info.max_position_embeddings
        for task, length in wanted:
            if task.takes_length and length > limit:
                raise beyond(f"length {format_length(length)} of task {task.name}", checkpoint, limit)


def beyond(what: str, checkpoint: PlannedCheckpoint, limit: int) -> UserError:
    """The error for something longer than a checkpoint's `max_position_embeddings`."""
    return UserError(
        f"{what} is too long: checkpoint {checkpoint.source} was made for {limit} tokens (max_position_embeddings); ask for "
        f"--lengths up to {format_length(limit)}, or test extrapolation with --allow-beyond-trained-length"
    )
