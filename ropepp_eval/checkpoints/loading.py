"""From a folder or hub id to a model in eval mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ropepp_eval.checkpoints.inspection import ReadCheckpoint, read_checkpoint
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.modeling.attention import check_kernel

if TYPE_CHECKING:
    from ropepp_eval.modeling import RopePPForCausalLM

_DTYPES = {
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16, "half": torch.float16,
    "float32": torch.float32, "fp32": torch.float32, "float": torch.float32,
}  # fmt: skip


def load_checkpoint(
    path_or_hub_id: str | Path,
    *,
    position: str | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    attention: str = "sdpa",
) -> RopePPForCausalLM:
    """A checkpoint as a model in eval mode, whatever it was published as. Never runs code from it.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, or the name of a card.
        position: what the weights can't tell: such as `nope`, `rope+pi8`, `ropepp_ec+yarn32`.
        dtype: `auto` (as stored), `bfloat16`, `float16`, `float32`, or a torch dtype.
        device: where the weights go, or a `device_map` such as `auto`.
        attention: `eager`, `sdpa`, `flash_attention_2`, `flex_attention`, or a name registered with transformers.

    Raises:
        UserError: it can't be used; the message names the file, field, tensor or argument.
    """
    check_attention(attention)
    read = read_checkpoint(path_or_hub_id, position)
    check_kernel(attention, read.config.position_embedding)
    model: RopePPForCausalLM = _from_pretrained(read, parse_dtype(dtype, read.config.dtype), device, attention)
    _set_generation(model, read)
    model.eval()
    return model


def _from_pretrained(read: ReadCheckpoint, dtype: torch.dtype, device: str | torch.device, attention: str) -> Any:
    from transformers.utils import logging

    from ropepp_eval.modeling import RopePPForCausalLM

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return RopePPForCausalLM.from_pretrained(
            read.folder.path, config=read.config, dtype=dtype, device_map=device, attn_implementation=attention,
            use_safetensors=True, local_files_only=True, trust_remote_code=False,
        )  # fmt: skip
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{read.folder.name} can't be loaded on {device} with attention {attention!r}: {reason}") from error
    finally:
        if bar:
            logging.enable_progress_bar()


def _set_generation(model: Any, read: ReadCheckpoint) -> None:
    """Decoding caches whatever generation_config.json says: `use_cache: false` is left over from training."""
    from transformers import GenerationConfig

    file = read.folder.path / "generation_config.json"
    if file.is_file():
        try:
            model.generation_config = GenerationConfig.from_pretrained(read.folder.path)
        except (OSError, ValueError, json.JSONDecodeError) as error:
            raise UserError(f"{file} can't be read ({' '.join(str(error).split())[:120]}); correct or remove it") from error
    model.generation_config.use_cache = True
    model.config.use_cache = True


def parse_dtype(dtype: str | torch.dtype, stored: str | torch.dtype) -> torch.dtype:
    """`auto` (the stored dtype), a name, or a torch dtype."""
    if dtype == "auto":
        dtype = stored
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype.removeprefix("torch.") not in _DTYPES:
        raise unknown_name("dtype", dtype, ["auto", *_DTYPES], "auto keeps the stored one")
    return _DTYPES[dtype.removeprefix("torch.")]


def check_attention(name: str) -> None:
    """Raise UserError for an attention function that is unknown or would lose causality.

    transformers builds no mask for a name that has no registered mask function; attention would then see later tokens, and
    every score would look too good.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    if name not in known:
        raise unknown_name("attention", name, known, "eager, sdpa, flash_attention_2 and flex_attention are usual")
    if name not in ALL_MASK_ATTENTION_FUNCTIONS.valid_keys():
        raise UserError(
            f"attention {name!r} has no mask function, so it would see later tokens; register one under the same name with "
            "transformers' AttentionMaskInterface.register"
        )
