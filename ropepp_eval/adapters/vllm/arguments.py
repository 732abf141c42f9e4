"""What an engine is started with: arguments of vLLM's `LLM` for a checkpoint that our reader has checked, and what vLLM can't do here."""

from __future__ import annotations

import os
from typing import Any

from ropepp_eval.adapters.memory import available_memory
from ropepp_eval.adapters.vllm.differences import head_sizes, why_not
from ropepp_eval.adapters.vllm.engine import EngineSettings, vllm_version
from ropepp_eval.checkpoints.cache_layers import cache_entries, kept_whole
from ropepp_eval.checkpoints.families import why_whole
from ropepp_eval.checkpoints.reading import ReadCheckpoint
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

_ROWS = {"cpu": 16, "cuda": 256}
_STEP_TOKENS = {"cpu": 2048, "cuda": 4096}
_SMALLEST_CACHE_BYTES = 256 << 20
SPARE_TOKENS = 256
"""Room of a request's cache beyond its tokens: whole blocks, and one spare."""


def engine_arguments(
    read: ReadCheckpoint,
    position: str | None,
    longest_tokens: int,
    *,
    dtype: str,
    device_type: str,
    settings: EngineSettings,
    cache_bytes: int | None = None,
    measuring: bool = False,
) -> dict[str, Any]:
    """Arguments of vLLM's `LLM`.

    Args:
        position: what the checkpoint was read with.
        longest_tokens: of a request, what vLLM writes included.
        dtype: as torch calls it, without `torch.`.
        device_type: of `platform_of`.
        cache_bytes: of the key/value cache; None: as the settings say.
        measuring: whether workers answer what `vllm_plugin.measuring` adds to them, and vLLM keeps its metrics.

    Raises:
        UserError: on a CPU, one such request does not fit in memory.
    """
    from ropepp_eval.positions.registry import loaded_modules
    from ropepp_eval.vllm_plugin import CONFIG_FORMAT, LOAD_FORMAT, MODULES_VARIABLE, PINNED_FILES, POSITION_OVERRIDE

    os.environ[MODULES_VARIABLE] = os.pathsep.join(map(str, loaded_modules()))  # engine processes inherit it
    overrides: dict[str, Any] = {} if position is None else {POSITION_OVERRIDE: position}
    if longest_tokens > read.max_position_embeddings:
        overrides["max_position_embeddings"] = longest_tokens
    arguments: dict[str, Any] = {
        "model": str(read.folder.path),
        "config_format": CONFIG_FORMAT,
        "load_format": LOAD_FORMAT,
        "model_loader_extra_config": {PINNED_FILES: [file.as_json for file in read.folder.weights]},
        "hf_overrides": overrides,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "dtype": dtype,
        "max_model_len": longest_tokens,
        "max_num_seqs": settings.max_num_seqs or _ROWS[device_type],
        "max_num_batched_tokens": settings.max_num_batched_tokens or _STEP_TOKENS[device_type],
        "disable_log_stats": not measuring,
    }
    if measuring:
        from ropepp_eval.vllm_plugin.measuring import MEASURING

        arguments["worker_extension_cls"] = MEASURING
    for name in ("tensor_parallel_size", "gpu_memory_utilization", "seed", "enable_prefix_caching", "enforce_eager"):
        arguments[name] = getattr(settings, name)
    if cache_bytes is not None:
        arguments["kv_cache_memory_bytes"] = cache_bytes
    elif device_type == "cpu" and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        arguments["kv_cache_memory_bytes"] = cpu_cache_bytes(read, longest_tokens, dtype, settings)
    return arguments


def cpu_cache_bytes(read: ReadCheckpoint, longest: int, dtype: str, settings: EngineSettings) -> int:
    """Bytes of the key/value cache on a CPU, where vLLM's own default would be most of the memory."""
    if settings.kv_cache_gib is not None:
        return int(settings.kv_cache_gib * 2**30)
    one = request_bytes(read, longest, dtype)
    free = available_memory("cpu") or 8 * one
    if one > free // 2:
        raise UserError(
            f"one request of {longest:,} tokens needs {one / 2**30:.1f} GiB of cache and {free / 2**30:.1f} GiB of memory are free; "
            "ask for shorter lengths or use --backend native"
        )
    return min(max(8 * one, _SMALLEST_CACHE_BYTES), free // 2)


def request_bytes(read: ReadCheckpoint, longest: int, dtype: str) -> int:
    """Bytes of cache for one request of so many tokens, in whole blocks."""
    return cache_entries(kept_whole(read.kinds), longest + SPARE_TOKENS) * (4 if dtype == "float32" else 2)


def platform_of(device: str | None) -> str:
    """`cpu` or `cuda`: what the installed vLLM runs on. Raises UserError where `device` names another."""
    from vllm.platforms import current_platform

    built: str = current_platform.device_type
    if built not in _ROWS:
        raise UserError(f"backend vllm: vLLM found no CPU or CUDA platform here but {built!r}; use --backend native")
    if device not in (None, "auto") and str(device).split(":")[0] != built:
        raise UserError(f"device {device!r}: the installed vLLM runs on {built}; leave --device out or use --backend native")
    return built


def check_architecture(read: ReadCheckpoint) -> None:
    """Raise UserError where vLLM can't run a checkpoint here, has no model of its class, or would compute something else than the class."""
    advice = "use --backend native"
    if not read.ours and (why := _why_not_class(read)):
        raise UserError(f"backend vllm: {why}; {advice}")
    sizes = head_sizes(platform_of(None))
    if sizes and read.head_dim not in sizes:
        raise UserError(
            f"backend vllm: {inert(read.folder.name)} has heads of {read.head_dim}; vLLM's attention on a CPU takes "
            f"{', '.join(map(str, sizes))}: {advice}"
        )


def _why_not_class(read: ReadCheckpoint) -> str:
    """Why vLLM is not asked to run one of transformers' own classes; empty where it gives the class's answers."""
    name = read.kind.__name__
    if why := why_whole(read.config, read.kinds):
        return f"{name} is not compared with vLLM's own ({why})"
    from vllm import ModelRegistry

    if name not in ModelRegistry.get_supported_archs():
        return f"vLLM {vllm_version()} has no {name}"
    why = why_not(read.config, platform_of(None))
    return f"{name}: {why}" if why else ""
