"""What a checkpoint is, read from its config and its safetensors headers without loading weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.cards import check_card
from ropepp_eval.checkpoints.config import SpecialIds, model_config, read_config
from ropepp_eval.checkpoints.detect import detect_position
from ropepp_eval.checkpoints.folder import CheckpointFolder, card_of, find_source, name_parts
from ropepp_eval.checkpoints.header import TensorHeader, check_index, is_left_over, main_dtype, read_headers
from ropepp_eval.checkpoints.weights import same_content
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions.scaling import scaling_label
from ropepp_eval.positions.settings import position_label, settings_label

_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8}
_HEAD = "lm_head.weight"
_EMBEDDING = "model.embed_tokens.weight"
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint as `ropepp-eval inspect` shows it."""

    name: str
    """The folder's or repository's own name."""
    folder: str
    position: str
    """Name of the position embedding, without its scaling."""
    scaling: str
    """`none`, `pi8`, `yarn32`: how positions are stretched."""
    base: float | None
    """Rotary base; None where nothing rotates."""
    evidence: tuple[str, ...]
    """What told the position embedding, one sentence each."""
    query_heads: int
    """Heads that q_proj makes."""
    key_value_heads: int
    """Heads that are kept in the cache."""
    attention_heads: int
    """Heads that attend; o_proj reads them."""
    head_dim: int
    layers: int
    hidden_size: int
    parameters: int
    """Entries of all tensors that the model uses; tied ones counted once."""
    vocab_size: int
    max_position_embeddings: int
    """Context length trained for, in tokens."""
    dtype: str
    """Of most of the stored weights, as torch calls it."""
    sha256: str
    """Hash of config.json and the weights' content."""
    has_tokenizer: bool
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, such as `strongest=0.5`."""
    settings: str = ""
    """All settings of the position embedding but its scaling, as they became."""
    note: str | None = None
    """What config.json says of the checkpoint (`note`), such as that its weights are random."""
    stop_ids: tuple[int, ...] = ()
    """Tokens that end a text beside the tokenizer's EOS, from generation_config.json, else config.json."""
    settled: tuple[str, ...] = ()
    """How the folder is read where others might read it differently, one sentence each."""

    @property
    def path_parts(self) -> tuple[str, ...]:
        """Folders that lead to it and its name, for telling it from others; of a hub's snapshot owner and repository."""
        return (*name_parts(Path(self.folder))[:-1], self.name)

    @property
    def label(self) -> str:
        """The position embedding with settings and scaling, as `--position` takes it: `rope`, `ropepp_ec+yarn32`."""
        return position_label(self.position, self.overruled, self.scaling)

    @property
    def facts(self) -> dict[str, Any]:
        """What results keep of a checkpoint, without where it lies on this machine."""
        return {
            "position": self.position,
            "scaling": self.scaling,
            "overruled": self.overruled,
            "settings": self.settings,
            "base": self.base,
            "note": self.note,
            "parameters": self.parameters,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "max_position_embeddings": self.max_position_embeddings,
            "evidence": list(self.evidence),
            "stop_ids": list(self.stop_ids),
            "settled": list(self.settled),
            "sha256": self.sha256,
        }

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that a token adds to the cache in the weights' own dtype."""
        return self.kv_bytes(self.dtype)

    def kv_bytes(self, dtype: str) -> int:
        """Bytes that a token adds to the cache in a dtype such as `bfloat16`."""
        return 2 * self.layers * self.key_value_heads * self.head_dim * _DTYPE_BYTES[dtype]


def inspect_checkpoint(path_or_hub_id: str | Path, *, position: str | None = None) -> CheckpointInfo:
    """What a checkpoint is. Reads config.json and safetensors headers, and the files once for their hash; loads no weights.

    What it accepts loads, unless a weight is NaN or infinite, which only loading looks for.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, or the name of a card.
        position: what the weights can't tell: such as `nope`, `rope+pi8`, `ropepp_ec+yarn32`.

    Raises:
        UserError: it can't be used; the message names the file, field or tensor.
    """
    return describe(read_checkpoint(path_or_hub_id, position))


@dataclass(frozen=True)
class ReadCheckpoint:
    """A checkpoint whose config and weights have been found to agree."""

    folder: CheckpointFolder
    config: RopePPConfig
    tensors: Mapping[str, TensorHeader]
    """Those that the model uses."""
    ids: SpecialIds
    evidence: tuple[str, ...]
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, as `settings_label` writes them."""
    settled: tuple[str, ...] = ()
    note: str | None = None

    def check_sha256(self, planned: str | None) -> None:
        """Raise UserError where config.json and weights are no longer those of a hash taken before; None: none was."""
        if planned is not None and self.folder.sha256 != planned:
            raise UserError(
                f"checkpoint {inert(self.folder.path)} changed since it was planned (sha256 {planned[:8]} became "
                f"{self.folder.sha256[:8]}); run the command again to evaluate what is there now"
            )


def read_checkpoint(path_or_hub_id: str | Path, position: str | None) -> ReadCheckpoint:
    """Find, detect and check; the first half of both inspecting and loading. Takes the name of a card too."""
    card, folder = card_of(path_or_hub_id), find_source(path_or_hub_id)
    read = read_config(folder)
    every = read_headers(folder.weights)
    if folder.index is not None:
        check_index(folder.index, every)
    tensors = {name: tensor for name, tensor in every.items() if not is_left_over(name)}
    if not tensors:
        raise UserError(f"{inert(folder.weights[0].path)} holds no tensors; copy or download it again")
    if position is None and card is not None:
        embedding, overruled, evidence = detect_position(read.raw, tensors, card.position, f"card {card.name}")
    else:
        embedding, overruled, evidence = detect_position(read.raw, tensors, position)
    config = model_config(read, embedding, main_dtype(tensors))
    check_tensors(config, tensors)
    if config.tie_word_embeddings:
        tensors = _tied(folder, tensors)
    if card is not None:
        check_card(card, config, _parameters(tensors))
    settled = (*folder.settled, *read.settled)
    note = None if read.fields.note is None else inert(read.fields.note)
    return ReadCheckpoint(folder, config, tensors, read.ids, tuple(evidence), overruled, settled, note)


def _tied(folder: CheckpointFolder, tensors: Mapping[str, TensorHeader]) -> dict[str, TensorHeader]:
    """The tensors without a head that only repeats the embedding. Raises UserError for a head of its own."""
    if _HEAD in tensors and not same_content(folder.weights, tensors[_HEAD], tensors[_EMBEDDING]):
        raise UserError(
            f"{inert(folder.config.path)}: tie_word_embeddings is true, but {inert(tensors[_HEAD].file)} holds another {_HEAD} than "
            f"{_EMBEDDING}; set the field to false if the model has this head, or remove the tensor if it has none of its own"
        )
    return {name: tensor for name, tensor in tensors.items() if name != _HEAD}


def expected_shapes(config: RopePPConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model by name, from building it on the meta device."""
    import torch

    from ropepp_eval.modeling.model import RopePPForCausalLM

    with torch.device("meta"):
        model = RopePPForCausalLM(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_tensors(config: RopePPConfig, tensors: Mapping[str, TensorHeader]) -> None:
    """Raise UserError for the first tensor that is missing, has another shape, or has no place in the model."""
    layers = {found[1] for name in tensors if (found := _LAYER.match(name))}
    if len(layers) != config.num_hidden_layers:  # said before so many are built
        raise UserError(
            f"config.json: num_hidden_layers is {config.num_hidden_layers:,}, and the weights hold {len(layers):,} layers; "
            "they do not belong together"
        )
    expected = expected_shapes(config)
    optional = {_HEAD} if config.tie_word_embeddings else set()
    for name, shape in expected.items():
        if name not in tensors and name not in optional:
            raise UserError(
                f"the weights lack {name}, which {config.position} needs as {list(shape)}; the checkpoint is incomplete"
            )
        if name in tensors and tensors[name].shape != shape:
            raise UserError(
                f"{name} is {list(tensors[name].shape)} in {inert(tensors[name].file)}, and "
                f"config.json with {config.position} makes it {list(shape)}; they do not belong together"
            )
    for name, tensor in tensors.items():
        if name not in expected:
            raise UserError(
                f"{inert(tensor.file)} holds {inert(name)[:200]} {list(tensor.shape)[:8]}, for which {config.position} has no place; "
                "name another position"
            )


def _parameters(tensors: Mapping[str, TensorHeader]) -> int:
    """Entries of all tensors."""
    return sum(tensor.size for tensor in tensors.values())


def describe(read: ReadCheckpoint) -> CheckpointInfo:
    """What inspecting shows of a checkpoint that has been read; hashes its files."""
    config, heads, embedding = read.config, read.config.heads, read.config.position_embedding
    return CheckpointInfo(
        name=read.folder.name,
        folder=str(read.folder.path),
        position=config.position,
        scaling=scaling_label(getattr(embedding, "scaling", None)),
        base=getattr(embedding, "base", None),
        evidence=read.evidence,
        query_heads=heads.query,
        key_value_heads=heads.key_value,
        attention_heads=heads.attention,
        head_dim=config.head_dim,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        parameters=_parameters(read.tensors),
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        dtype=main_dtype(read.tensors),
        sha256=read.folder.sha256,
        has_tokenizer=read.folder.has_tokenizer,
        overruled=read.overruled,
        settings=settings_label(embedding),
        note=read.note,
        stop_ids=read.ids.stops,
        settled=read.settled,
    )
