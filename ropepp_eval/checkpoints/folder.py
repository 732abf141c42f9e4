"""From what the user wrote to the exact files of a checkpoint, and nothing that could run code.

A folder that other readers would read in two ways is refused, or read in one way with a sentence that says which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.checkpoints.cards import Card, find_card, has_card, list_cards
from ropepp_eval.checkpoints.formats import IndexFile
from ropepp_eval.checkpoints.gguf_file import is_gguf
from ropepp_eval.checkpoints.pinned import PinnedFile
from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.hub import fetch, is_cached, split_revision
from ropepp_eval.inert import inert
from ropepp_eval.outside import read_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SNAPSHOT = re.compile(r"models--(?:(?P<owner>.+?)--)?(?P<name>.+)")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
_WANTED_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "chat_template.jinja")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
)
SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
_NOT_APPLIED = {
    "adapter_config.json": "an adapter, which is not applied; merge it into the weights, or take it out of the folder",
    "adapter_model.safetensors": "an adapter, which is not applied; merge it into the weights, or take it out of the folder",
    "quantize_config.json": "how weights are quantised, which is not supported; take the checkpoint before quantisation",
    "quant_config.json": "how weights are quantised, which is not supported; take the checkpoint before quantisation",
    "hf_quant_config.json": "how weights are quantised, which is not supported; take the checkpoint before quantisation",
}


@dataclass(frozen=True)
class CheckpointFolder:
    """A local folder and the exact files in it that are the checkpoint."""

    name: str
    """What tables call it: the folder's or repository's own name."""
    path: Path
    config: PinnedFile
    weights: tuple[PinnedFile, ...]
    """Its safetensors files, sorted by name."""
    index: Mapping[str, str] | None
    """Which file holds which tensor, where an index says it."""
    generation: PinnedFile | None
    """generation_config.json."""
    tokenizer: tuple[PinnedFile, ...]
    settled: tuple[str, ...] = ()
    """How the folder is read where others might read it differently, one sentence each."""

    @property
    def has_tokenizer(self) -> bool:
        return any(file.path.name in ("tokenizer.json", "tokenizer.model", "vocab.json") for file in self.tokenizer)

    @property
    def sha256(self) -> str:
        """Hash over the contents of config.json and all safetensors files; files that did not change are hashed once."""
        return hash_json({file.path.name: file.sha256 for file in (self.config, *self.weights)})


def card_of(written: str | Path) -> Card | None:
    """The card of that name, which may name a revision (`NAME@REVISION`), unless a local file or folder has it too."""
    name, _ = split_revision(str(written))
    return find_card(name) if has_card(name) and not Path(written).exists() else None


def find_source(written: str | Path) -> CheckpointFolder:
    """The folder of what the user wrote: a folder, a hub id, or the name of a card; the last two also at a revision."""
    card = card_of(written)
    return find_folder(written if card is None else str(written).replace(card.name, card.hub_id, 1))


def is_fetched(card: Card, written: str | Path) -> bool:
    """Whether the files of a card, at the revision that was written, are in the hub's cache."""
    return is_cached(card.hub_id, _WANTED_FILES, revision=split_revision(str(written))[1])


def find_folder(path_or_hub_id: str | Path) -> CheckpointFolder:
    """The folder of a checkpoint, downloaded first when a hub id is given.

    Raises:
        UserError: it does not exist, is empty, has no config.json, holds pickles only, lacks a shard, or can be read in two ways.
    """
    text = str(path_or_hub_id)
    path = Path(text).expanduser()
    if path.is_dir():
        return _resolved(path, name_parts(path)[-1], text)
    if path.is_file():
        if is_gguf(path):
            raise UserError(
                f"checkpoint {text!r} is a GGUF file; make a folder of it with `ropepp-eval export {text} DIR` and name that folder"
            )
        raise UserError(f"checkpoint {text!r} is a file; give the folder that holds it and config.json")
    hub_id, revision = split_revision(text)
    if not _HUB_ID.fullmatch(hub_id) or text.startswith("."):
        near = difflib.get_close_matches(path.name, [card.name for card in list_cards()], n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "check the path;"
        raise UserError(
            f"checkpoint {text!r} is no folder here, no hub id (owner/name) and no card; {hint} "
            "`ropepp-eval models` lists the cards"
        )
    return _resolved(_fetched(hub_id, revision), hub_id.rsplit("/", 1)[1], text)


def revision_of(folder: Path) -> str | None:
    """The commit of a snapshot in the hub's cache; of another folder None."""
    resolved = folder.resolve()
    snapshot = resolved.parent.name == "snapshots" and _SNAPSHOT.fullmatch(resolved.parent.parent.name)
    return resolved.name if snapshot else None


def name_parts(folder: Path) -> tuple[str, ...]:
    """The folder's resolved path; of a snapshot in the hub's cache, which is called by its revision, owner and repository."""
    resolved = folder.resolve()
    repository = _SNAPSHOT.fullmatch(resolved.parent.parent.name) if revision_of(folder) else None
    return tuple(filter(None, repository.groups())) if repository else resolved.parts


def _resolved(path: Path, name: str, written: str) -> CheckpointFolder:
    try:
        held = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"checkpoint {written!r} can't be read ({error.strerror}); check its permissions") from error
    if not held:
        raise UserError(f"checkpoint {written!r} is an empty folder; it must hold config.json and model.safetensors")
    if "config.json" not in held:
        if gguf := sorted(name for name in held if name.endswith(".gguf")):
            raise UserError(
                f"checkpoint {written!r} holds {inert(gguf[0])} and no config.json; make a folder of it with "
                f"`ropepp-eval export {inert(path / gguf[0])} DIR` and name that folder"
            )
        raise UserError(
            f"checkpoint {written!r} has no config.json; give the folder that holds config.json and model.safetensors"
        )
    for sidecar, what in _NOT_APPLIED.items():
        if sidecar in held:
            raise UserError(f"{inert(path / sidecar)} asks for {what}")
    index = read_json(path / INDEX_NAME, IndexFile).weight_map if INDEX_NAME in held else None
    files, settled = _weights(path, held, index, written)
    return CheckpointFolder(
        name,
        path,
        PinnedFile.of(path / "config.json"),
        tuple(PinnedFile.of(path / file) for file in files),
        index,
        PinnedFile.of(path / "generation_config.json") if "generation_config.json" in held else None,
        tuple(PinnedFile.of(path / file) for file in TOKENIZER_FILES if file in held),
        settled,
    )


def _weights(path: Path, held: set[str], index: Mapping[str, str] | None, written: str) -> tuple[list[str], tuple[str, ...]]:
    """Names of the files that hold the weights, and how that was settled."""
    found = sorted(name for name in held if name.endswith(".safetensors"))
    if index is not None:
        files = _indexed(path, held, index)
    elif SINGLE_NAME in held:
        files = [SINGLE_NAME]
        if shards := [name for name in found if name.startswith("model-") and _SHARD.fullmatch(name)]:
            raise UserError(
                f"{inert(path)} holds {SINGLE_NAME} and {shards[0]} but no index, so either may be the weights; "
                "remove the stale ones"
            )
    else:
        return _by_other_names(path, found, written)
    others = [name for name in found if name not in files]
    return files, (f"not read: {inert(', '.join(others))}",) if others else ()


def _indexed(path: Path, held: set[str], index: Mapping[str, str]) -> list[str]:
    """The shards that the index names; each must be there."""
    shards = sorted(set(index.values()))
    for shard in shards:
        if shard not in held:
            raise UserError(f"{inert(path)} lacks {inert(shard)}, which {INDEX_NAME} names; copy or download it again")
    if SINGLE_NAME in held and SINGLE_NAME not in shards:
        raise UserError(
            f"{inert(path)} holds {SINGLE_NAME} and {INDEX_NAME}, which names {len(shards)} other files, so either may be the "
            "weights; remove the stale ones"
        )
    return shards


def _by_other_names(path: Path, found: list[str], written: str) -> tuple[list[str], tuple[str, ...]]:
    """Weights without an index and without a file of the usual name: one file, or one whole set of shards."""
    if not found:
        pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
        if pickles:
            raise UserError(
                f"checkpoint {written!r} holds {pickles[0]} but no safetensors; loading a pickle can run any code, so it is "
                "refused: convert it with transformers' save_pretrained in a place you trust"
            )
        raise UserError(
            f"checkpoint {written!r} holds no *.safetensors file; it must hold config.json and model.safetensors"
        )
    first = _SHARD.fullmatch(found[0])
    if first is None and len(found) == 1:
        return found, (f"the weights are {inert(found[0])}, the only safetensors file",)
    count = int(first[3]) if first and len(found) == int(first[3]) else 0
    if first is None or found != [f"{first[1]}-{i:05}-of-{first[3]}.safetensors" for i in range(1, count + 1)]:
        raise UserError(
            f"{inert(path)} holds {inert(', '.join(found[:4]))} but neither {SINGLE_NAME} nor {INDEX_NAME}, so which are the "
            "weights can't be told; copy the index too, or remove what does not belong there"
        )
    return found, (f"no index; all {count} shards of {inert(first[1])} are read",)


def _fetched(hub_id: str, revision: str | None) -> Path:
    return fetch(hub_id, _WANTED_FILES, revision=revision, checksum=lambda file: PinnedFile.of(file.resolve()).sha256)
