"""What a checkpoint is, read from its config and its safetensors headers without loading weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.cards import check_card
from ropepp_eval.checkpoints.detect import detect_position
from ropepp_eval.checkpoints.folder import CheckpointFolder, card_of, find_source
from ropepp_eval.checkpoints.header import TensorHeader, main_dtype, read_headers
from ropepp_eval.errors import UserError
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions.scaling import scaling_label
from ropepp_eval.positions.settings import position_label, settings_label

_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8}
# Fields of the authors' files that say what our config says in its own way, or that are left over from training.
_NOT_CARRIED = ("model_type", "architectures", "auto_map", "rope_config", "rope_theta", "rope_scaling", "rope_parameters",
                "partial_rotary_factor", "position", "position_settings", "use_cache", "transformers_version", "torch_dtype",
                "dtype", "mask_config", "ignore_index", "init_device", "use_alibi")  # fmt: skip
_NOT_CARRIED_PREFIXES = ("fourier", "rope_")


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
    """Of the stored weights, as torch calls it."""
    sha256: str
    """Hash of config.json and the weights' content."""
    has_tokenizer: bool
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, such as `strongest=0.5`."""
    settings: str = ""
    """All settings of the position embedding but its scaling, as they became."""
    note: str | None = None
    """What config.json says of the checkpoint (`note`), such as that its weights are random."""

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
    evidence: tuple[str, ...]
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, as `settings_label` writes them."""


def read_checkpoint(path_or_hub_id: str | Path, position: str | None) -> ReadCheckpoint:
    """Find, detect and check; the first half of both inspecting and loading. Takes the name of a card too."""
    card, folder = card_of(path_or_hub_id), find_source(path_or_hub_id)
    raw = folder.config
    if raw.get("model_type") not in ("llama", "ropepp"):
        raise UserError(
            f"{folder.path / 'config.json'}: model_type is {raw.get('model_type')!r}; "
            "llama (the authors' form) and ropepp are read"
        )
    tensors = read_headers(list(folder.files))
    if not tensors:
        raise UserError(f"{folder.files[0]} holds no tensors; copy or download it again")
    if position is None and card is not None:
        embedding, overruled, evidence = detect_position(raw, tensors, card.position, f"card {card.name}")
    else:
        embedding, overruled, evidence = detect_position(raw, tensors, position)
    config = _our_config(raw, embedding.name, embedding.to_hf())
    config.dtype = main_dtype(dict(tensors))
    check_tensors(config, tensors)
    if card is not None:
        check_card(card, config, _parameters(config, tensors))
    return ReadCheckpoint(folder, config, tensors, tuple(evidence), overruled)


def _our_config(raw: Mapping[str, Any], position: str, fields: dict[str, dict[str, Any]]) -> RopePPConfig:
    kept = {
        name: value
        for name, value in raw.items()
        if name not in _NOT_CARRIED and not name.startswith(_NOT_CARRIED_PREFIXES) and not name.startswith("_")
    }
    try:
        return RopePPConfig(**kept, **fields, position=position, architectures=["RopePPForCausalLM"], use_cache=True)
    except UserError:
        raise
    except Exception as error:  # the strict config raises its own kinds for a wrong type or a missing field
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"config.json can't be used: {reason}; correct the field or download it again") from error


def expected_shapes(config: RopePPConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model by name, from building it on the meta device."""
    import torch

    from ropepp_eval.modeling.model import RopePPForCausalLM

    with torch.device("meta"):
        model = RopePPForCausalLM(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_tensors(config: RopePPConfig, tensors: Mapping[str, TensorHeader]) -> None:
    """Raise UserError for the first tensor that is missing, has another shape, or has no place in the model."""
    expected = expected_shapes(config)
    optional = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for name, shape in expected.items():
        if name not in tensors and name not in optional:
            raise UserError(
                f"the weights lack {name}, which {config.position} needs as {list(shape)}; the checkpoint is incomplete"
            )
        if name in tensors and tensors[name].shape != shape:
            raise UserError(
                f"{name} is {list(tensors[name].shape)} in {tensors[name].file}, and "
                f"config.json with {config.position} makes it {list(shape)}; they do not belong together"
            )
    for name, tensor in tensors.items():
        if name not in expected and not name.endswith("inv_freq"):
            raise UserError(
                f"{tensor.file} holds {name} {list(tensor.shape)}, for which {config.position} has no place; "
                "name another position"
            )


def _parameters(config: RopePPConfig, tensors: Mapping[str, TensorHeader]) -> int:
    """Entries of the tensors that the model uses; tied ones once."""
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    return sum(tensor.size for name, tensor in tensors.items() if name not in tied and not name.endswith("inv_freq"))


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
        parameters=_parameters(config, read.tensors),
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        dtype=main_dtype(dict(read.tensors)),
        sha256=read.folder.sha256,
        has_tokenizer=read.folder.has_tokenizer,
        overruled=read.overruled,
        settings=settings_label(embedding),
        note=read.folder.config.get("note"),
    )
