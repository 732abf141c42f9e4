"""From a folder or hub id to a model in eval mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ropepp_eval.checkpoints.architectures import kernel_for, quiet_loading
from ropepp_eval.checkpoints.reading import ReadCheckpoint, read_checkpoint
from ropepp_eval.checkpoints.weights import read_tensors
from ropepp_eval.dtypes import dtype_name
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.modeling.attention import check_kernel


def load_checkpoint(
    path_or_hub_id: str | Path,
    *,
    position: str | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    attention: str = "sdpa",
) -> Any:
    """A checkpoint as a model in eval mode, whatever it was published as: a `RopePPForCausalLM`, or one of transformers' own
    classes. Never runs code from it.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, or the name of a card.
        position: what the weights can't tell: such as `nope`, `rope+pi8`, `ropepp_ec+yarn32`.
        dtype: `auto` (as stored), `bfloat16`, `float16`, `float32`, `float64`, or a torch dtype.
        device: where the weights go, or a `device_map` such as `auto`.
        attention: `eager`, `sdpa`, `flash_attention_2`, `flex_attention`, or a name registered with transformers.

    Raises:
        UserError: it can't be used; the message names the file, field, tensor or argument.
    """
    check_attention(attention, device)
    return load_read(read_checkpoint(path_or_hub_id, position), dtype=dtype, device=device, attention=attention)


def load_read(
    read: ReadCheckpoint, *, dtype: str | torch.dtype = "auto", device: str | torch.device = "cpu", attention: str = "sdpa"
) -> Any:
    """The model of a checkpoint that has been read: the tensors of exactly its files, which must be what they were then.

    Raises:
        UserError: as `load_checkpoint`; a file changed, or a weight is NaN or infinite.
    """
    check_attention(attention, device)
    if read.ours:
        check_kernel(attention, read.config.position_embedding)
    wanted = parse_dtype(dtype, read.config.dtype)
    weights = read_tensors(read.folder.weights, read.tensors, lambda name: read.stored_dtype(name, wanted))
    model = _from_tensors(read, dict(weights), wanted, device, kernel_for(read.config, read.kind, attention))
    _set_generation(model, read)
    model.eval()
    return model


def _from_tensors(
    read: ReadCheckpoint, tensors: dict[str, torch.Tensor], dtype: torch.dtype, device: str | torch.device, attention: str
) -> Any:
    try:  # without a folder's name transformers has nothing to look for
        with quiet_loading():
            return read.kind.from_pretrained(
                None, config=read.config, state_dict=tensors, dtype=dtype, device_map=device, attn_implementation=attention
            )
    except (ImportError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{read.folder.name} can't be loaded on {device} with attention {attention!r}: {reason}") from error


def _set_generation(model: Any, read: ReadCheckpoint) -> None:
    """Token ids alone, and a cache: neither sampling settings nor `use_cache: false` of a checkpoint are taken over."""
    from transformers import GenerationConfig

    config = model.config
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id, use_cache=True
    )
    config.name_or_path = str(read.folder.path)
    config.use_cache = True


def parse_dtype(dtype: str | torch.dtype, stored: str | torch.dtype) -> torch.dtype:
    """`auto` (the stored dtype), a name, or a torch dtype."""
    if dtype == "auto":
        dtype = stored
    if isinstance(dtype, torch.dtype):
        return dtype
    known: torch.dtype = getattr(torch, dtype_name(dtype))
    return known


def resolved_device(device: str | None) -> str:
    """The device that `auto` or None stands for, the first GPU or else the CPU, or the one named.

    Raises:
        UserError: a GPU was named and torch sees none.
    """
    if device in (None, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    device = str(device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {device!r} is not here (torch sees no GPU); use --device cpu, or leave it out")
    if device.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise UserError(f"device {device!r} is not known; it may be cpu, cuda, cuda:1 or mps")
    return device


def check_attention(name: str, device: str | torch.device) -> None:
    """Raise UserError for an attention function that is unknown, would lose causality, or computes wrongly on the device.

    transformers builds no mask for a name that has no registered mask function; attention would then see later tokens, and
    every score would look too good.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if name == "flex_attention" and str(device).startswith("cpu"):
        raise UserError(
            "attention 'flex_attention' is not used on a CPU: the code that torch 2.13 makes of it gives wrong logits in some runs; "
            "use --attention sdpa"
        )
    known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    if name not in known:
        raise unknown_name("attention", name, known, "eager, sdpa, flash_attention_2 and flex_attention are usual")
    if name not in ALL_MASK_ATTENTION_FUNCTIONS.valid_keys():
        raise UserError(
            f"attention {name!r} has no mask function, so it would see later tokens; register one under the same name with "
            "transformers' AttentionMaskInterface.register"
        )
