"""Writing a checkpoint as a self-describing folder: our model_type, a complete config, safetensors, its tokenizer."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ropepp_eval.checkpoints.loading import load_read
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError


def export_checkpoint(
    path_or_hub_id: str | Path, target: str | Path, *, position: str | None = None, dtype: str = "auto"
) -> Path:
    """Write a checkpoint to a new folder that says by itself what it is; `load_checkpoint` then needs no `position=`.

    The folder is written beside the target and renamed, so a crash leaves no half of one.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, or the name of a card.
        target: a folder that does not exist yet.
        position: what the weights can't tell, as for `load_checkpoint`.
        dtype: `auto` keeps the stored one.

    Returns:
        The target.

    Raises:
        UserError: the target exists, or the checkpoint can't be used.
    """
    folder = Path(target).expanduser()
    if folder.exists():
        raise UserError(f"export target {str(target)!r} exists; name a new folder, or remove it first")
    read = read_checkpoint(path_or_hub_id, position)
    if not read.ours:
        raise UserError(
            f"checkpoint {str(path_or_hub_id)!r} runs through transformers' own {read.kind.__name__} and says so itself; "
            "use its folder as it is"
        )
    model = load_read(read, dtype=dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        written = Path(scratch) / folder.name
        model.save_pretrained(written)
        for file in read.folder.tokenizer:
            with file.open() as source, (written / file.path.name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
        written.rename(folder)
    return folder
