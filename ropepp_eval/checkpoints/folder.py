"""From what the user wrote to a folder with a config and safetensors files, and nothing that could run code."""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.cards import Card, find_card, has_card, list_cards
from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file, hash_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WANTED_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)
INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True)
class CheckpointFolder:
    """A local folder whose parts have been found."""

    name: str
    """What tables call it: the folder's or repository's own name."""
    path: Path
    files: tuple[Path, ...]
    """Its safetensors files, sorted by name."""

    @property
    def config(self) -> dict[str, Any]:
        return _read_json(self.path / "config.json")

    @property
    def has_tokenizer(self) -> bool:
        return any((self.path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json"))

    @property
    def sha256(self) -> str:
        """Hash over the contents of config.json and all safetensors files; files that did not change are hashed once."""
        hashes = {}
        for file in (self.path / "config.json", *self.files):
            stat = file.stat()
            hashes[file.name] = _hash_unchanged(file, stat.st_size, stat.st_mtime_ns)
        return hash_json(hashes)


@functools.lru_cache(maxsize=1024)
def _hash_unchanged(file: Path, size: int, changed_ns: int) -> str:
    return hash_file(file)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{file} can't be read as JSON ({error}); copy or download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} holds {type(content).__name__}, not fields; copy or download it again")
    return content


def card_of(written: str | Path) -> Card | None:
    """The card of that name, unless a local file or folder has it too."""
    return find_card(str(written)) if has_card(str(written)) and not Path(written).exists() else None


def find_source(written: str | Path) -> CheckpointFolder:
    """The folder of what the user wrote: a folder, a hub id, or the name of a card."""
    card = card_of(written)
    return find_folder(written if card is None else card.hub_id)


def find_folder(path_or_hub_id: str | Path) -> CheckpointFolder:
    """The folder of a checkpoint, downloaded first when a hub id is given.

    Raises:
        UserError: it does not exist, is empty, has no config.json, holds pickles only, or lacks a shard.
    """
    text = str(path_or_hub_id)
    path = Path(text).expanduser()
    if path.is_dir():
        return _checked(path, path.resolve().name, text)
    if path.is_file():
        raise UserError(f"checkpoint {text!r} is a file; give the folder that holds it and config.json")
    if not _HUB_ID.fullmatch(text) or text.startswith("."):
        near = difflib.get_close_matches(path.name, [card.name for card in list_cards()], n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "check the path;"
        raise UserError(
            f"checkpoint {text!r} is no folder here, no hub id (owner/name) and no card; {hint} "
            "`ropepp-eval models` lists the cards"
        )
    return _checked(_download(text), text.rsplit("/", 1)[1], text)


def _checked(path: Path, name: str, written: str) -> CheckpointFolder:
    if not any(path.iterdir()):
        raise UserError(f"checkpoint {written!r} is an empty folder; it must hold config.json and model.safetensors")
    if not (path / "config.json").is_file():
        raise UserError(
            f"checkpoint {written!r} has no config.json; give the folder that holds config.json and model.safetensors"
        )
    files = tuple(sorted(path.glob("*.safetensors")))
    if (path / INDEX_NAME).is_file():
        files = _indexed(path)
    if not files:
        pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
        if pickles:
            raise UserError(
                f"checkpoint {written!r} holds {pickles[0]} but no safetensors; loading a pickle can run any code, so it is "
                "refused: convert it with transformers' save_pretrained in a place you trust"
            )
        raise UserError(
            f"checkpoint {written!r} holds no *.safetensors file; it must hold config.json and model.safetensors"
        )
    return CheckpointFolder(name, path, files)


def _indexed(path: Path) -> tuple[Path, ...]:
    """The shards that the index names; each must be there."""
    weight_map = _read_json(path / INDEX_NAME).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{path / INDEX_NAME} has no weight_map; copy or download it again")
    shards = [path / str(name) for name in sorted(set(weight_map.values()))]
    for shard in shards:
        if shard.parent != path:
            raise UserError(f"{path / INDEX_NAME} names {shard.name!r} outside its folder; copy or download it again")
        if not shard.is_file():
            raise UserError(f"{path} lacks {shard.name}, which {INDEX_NAME} names; copy or download it again")
    return tuple(shards)


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_WANTED_FILES)))
    except Exception as error:  # network, permission and naming errors have no common base class
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"checkpoint {hub_id!r} is no folder here and can't be fetched from the hub ({type(error).__name__}: {reason}); "
            "check the name, the network and `hf auth login`, or give a local folder"
        ) from error
