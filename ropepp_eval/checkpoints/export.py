"""Writing a checkpoint, or a GGUF file, as a self-describing folder: a complete config, safetensors, its tokenizer."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ropepp_eval.checkpoints.architectures import quiet_loading
from ropepp_eval.checkpoints.gguf_file import is_gguf, llama_config, llama_tensors, read_gguf
from ropepp_eval.checkpoints.gguf_tokenizer import fast_tokenizer
from ropepp_eval.checkpoints.loading import load_read, parse_dtype
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert


def export_checkpoint(
    path_or_hub_id: str | Path, target: str | Path, *, position: str | None = None, dtype: str = "auto"
) -> Path:
    """Write a checkpoint to a new folder that says by itself what it is; `load_checkpoint` then needs no `position=`.

    The folder is written beside the target and renamed, so a crash leaves no half of one.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, the name of a card, or a GGUF file of a Llama-shaped model.
        target: a folder that does not exist yet.
        position: what the weights can't tell, as for `load_checkpoint`.
        dtype: `auto` keeps the stored one; of a GGUF file float32, which holds every quantised value exactly.

    Returns:
        The target.

    Raises:
        UserError: the target exists, or the checkpoint can't be used.
    """
    folder = Path(target).expanduser()
    if folder.exists():
        raise UserError(f"export target {str(target)!r} exists; name a new folder, or remove it first")
    source = Path(path_or_hub_id).expanduser()
    if source.is_file() and is_gguf(source):
        if position is not None:
            raise UserError(
                f"position {position!r}: a GGUF file is a plain Llama; export it, and name the position to `run`"
            )
        return _export_gguf(source, folder, dtype)
    read = read_checkpoint(path_or_hub_id, position)
    model = load_read(read, dtype=dtype)
    with _beside(folder) as written, quiet_loading():
        model.save_pretrained(written)
        for file in read.folder.tokenizer:
            with file.open() as stored, (written / file.path.name).open("wb") as copy:
                shutil.copyfileobj(stored, copy)
    return folder


def _export_gguf(source: Path, folder: Path, dtype: str) -> Path:
    from transformers import LlamaForCausalLM

    file = read_gguf(source)
    config, tokenizer = llama_config(file), fast_tokenizer(file)
    wanted = parse_dtype(dtype, "float32")
    config.dtype = wanted
    config.note = f"weights from {inert(source.name)} ({file.types})"
    tensors = {name: tensor.to(wanted) for name, tensor in llama_tensors(file, config)}
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"{inert(source)}: it has {len(tokenizer):,} tokens and an embedding of {config.vocab_size:,}; they do not belong together"
        )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
    model.load_state_dict(tensors, strict=not config.tie_word_embeddings, assign=True)
    model.tie_weights()
    with _beside(folder) as written, quiet_loading():
        model.save_pretrained(written)
        tokenizer.save_pretrained(written)
    return folder


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A place beside a folder, which takes its name once all was written and can be read again."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        written = Path(scratch) / folder.name
        yield written
        read_checkpoint(written, None)
        written.rename(folder)
