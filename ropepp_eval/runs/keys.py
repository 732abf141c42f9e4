"""What decides an answer, as it became: never `auto`, never how a path was written, nothing of what else is in the run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.adapters.settings import Settings
from ropepp_eval.hashing import hash_json, hash_text
from ropepp_eval.positions.registry import get_position
from ropepp_eval.rows.row import Row
from ropepp_eval.runs.config import RunConfig

if TYPE_CHECKING:
    from ropepp_eval.checkpoints.inspection import CheckpointInfo
    from ropepp_eval.runs.plan import PlannedCheckpoint


def computation(config: RunConfig, checkpoint: PlannedCheckpoint) -> dict[str, Any]:
    """How answers of one checkpoint come about, rows aside: weights, position, tokenizer, engine and its settings, resolved.

    Raises:
        UserError: dtype, device or a setting of the adapter is not known.
    """
    return {
        "checkpoint": checkpoint.info.sha256,
        "position": checkpoint.position,
        "position_code": _position_code(checkpoint.info),
        "tokenizer": checkpoint.tokenizer.sha256,
        "stop_ids": sorted(checkpoint.info.stop_ids),
        "protocol": config.protocol,
        "cut_at_tokens": cut_at_tokens(config, checkpoint),
        **_engine(config, checkpoint),
    }


def record_key(computed: dict[str, Any], row: Row, folder_sha256: str | None = None) -> str:
    """Key of a row's record: two checkpoints, or two ways to compute, can never share an answer.

    The row's own hash covers its prompt, budget and window. A task from a folder of the user's may be scored otherwise tomorrow, so
    the hash of the folder's files counts too.
    """
    folder = {} if folder_sha256 is None else {"task_folder": folder_sha256}
    return hash_json({**computed, "row": row.sha256, "row_number": row.row, **folder})


def cut_at_tokens(config: RunConfig, checkpoint: PlannedCheckpoint) -> int | None:
    """Positions at which prompts are cut; None where none is."""
    cutting = dict(config.adapter_options).get("truncate") and not config.allow_beyond_trained_length
    return checkpoint.info.max_position_embeddings if cutting else None


def _engine(config: RunConfig, checkpoint: PlannedCheckpoint) -> dict[str, Any]:
    from ropepp_eval.checkpoints.loading import parse_dtype

    options = dict(config.adapter_options)
    dtype = str(parse_dtype(config.dtype, checkpoint.info.dtype)).removeprefix("torch.")
    facts: dict[str, Any] = {"engine": config.backend, "dtype": dtype}
    if config.backend == "vllm":
        from ropepp_eval.adapters.vllm.arguments import platform_of
        from ropepp_eval.adapters.vllm.engine import require_vllm, vllm_version
        from ropepp_eval.adapters.vllm.lm import both_settings

        require_vllm()
        settings, engine = both_settings(options)
        device = config.device_kind if config.elsewhere else platform_of(config.device)
        facts |= {"engine_version": vllm_version(), "device": device, "attention": "vllm"}
        return {**facts, "settings": dataclasses.asdict(settings), "engine_settings": dataclasses.asdict(engine)}
    facts |= {"engine_version": importlib.metadata.version("torch"), "attention": checkpoint.info.kernel(config.attention)}
    return {**facts, "device": config.device_kind, "settings": dataclasses.asdict(Settings.of(options))}


def _position_code(info: CheckpointInfo) -> str | None:
    """Hash of the file of a position embedding that is not ours: who edits it asks other questions of the same weights. Of a model
    that runs through transformers' own class, the release that the class is from."""
    if not info.ours:
        return f"transformers {importlib.metadata.version('transformers')}"
    kind = get_position(info.position)
    if kind.__module__.startswith("ropepp_eval.positions."):
        return None
    file = inspect.getsourcefile(kind)
    return hash_text(Path(file).read_text(encoding="utf-8")) if file else kind.__module__
