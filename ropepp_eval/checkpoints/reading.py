"""From a folder to a config and tensors that have been found to agree: the first half of both inspecting and loading."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ropepp_eval.checkpoints import architectures
from ropepp_eval.checkpoints.cache_layers import CacheKinds, FullLayers
from ropepp_eval.checkpoints.cards import Card, check_card, stretched
from ropepp_eval.checkpoints.config import SpecialIds, config_fields, ids_of, model_config, read_config
from ropepp_eval.checkpoints.detect import detect_position
from ropepp_eval.checkpoints.folder import CheckpointFolder, card_of, find_source
from ropepp_eval.checkpoints.header import (
    TensorHeader,
    check_dtypes,
    check_index,
    is_left_over,
    main_dtype,
    read_headers,
)
from ropepp_eval.checkpoints.position_words import position_in_words
from ropepp_eval.checkpoints.probe import cache_kinds
from ropepp_eval.checkpoints.weights import same_content
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions import Heads

_HEAD = "lm_head.weight"
_EMBEDDING = "model.embed_tokens.weight"
_NUMBERED = re.compile(r"\.\d+\.")
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")


@dataclass(frozen=True)
class ReadCheckpoint:
    """A checkpoint whose config and weights have been found to agree."""

    folder: CheckpointFolder
    config: Any
    """A `RopePPConfig`, or that of one of transformers' own classes."""
    kind: Any
    """The class that computes it: `RopePPForCausalLM`, or one of transformers' own."""
    tensors: Mapping[str, TensorHeader]
    """Those that the model uses."""
    kinds: CacheKinds
    """What its layers keep of the tokens they have read."""
    ids: SpecialIds
    max_position_embeddings: int
    """Context length trained for, in tokens."""
    evidence: tuple[str, ...]
    position: str
    """Name of the position embedding; of transformers' own classes, how positions enter, in words."""
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, as `settings_label` writes them."""
    settled: tuple[str, ...] = ()
    note: str | None = None

    @property
    def ours(self) -> bool:
        """Whether our own class computes it."""
        return isinstance(self.config, RopePPConfig)

    @property
    def heads(self) -> Heads:
        """Heads that a layer projects, caches and attends with."""
        if self.ours:
            own: Heads = self.config.heads
            return own
        queries = int(getattr(self.config, "num_attention_heads", 0))  # state-space models have none
        return Heads(queries, int(getattr(self.config, "num_key_value_heads", None) or queries), queries)

    @property
    def head_dim(self) -> int:
        """Width of an attention head; 0 where there is none."""
        return head_width(self.config)

    def stored_dtype(self, name: str, wanted: torch.dtype) -> torch.dtype:
        """The dtype in which a tensor is handed to the model that is computed in `wanted`."""
        if self.ours:
            exact = tuple(f"self_attn.{own}" for own in self.config.stored_names)
            return torch.float32 if name.endswith(exact) else wanted
        kept = (*(self.kind._keep_in_fp32_modules or ()), *(self.kind._keep_in_fp32_modules_strict or ()))
        return torch.float32 if any(part in name.split(".") for part in kept) else wanted

    def check_sha256(self, planned: str | None) -> None:
        """Raise UserError where config.json and weights are no longer those of a hash taken before; None: none was."""
        if planned is not None and self.folder.sha256 != planned:
            raise UserError(
                f"checkpoint {inert(self.folder.path)} changed since it was planned (sha256 {planned[:8]} became "
                f"{self.folder.sha256[:8]}); run the command again to evaluate what is there now"
            )


def read_checkpoint(path_or_hub_id: str | Path, position: str | None) -> ReadCheckpoint:
    """Find, detect and check. Takes the name of a card too.

    Raises:
        UserError: it can't be used; the message names the file, field or tensor.
    """
    card, folder = card_of(path_or_hub_id), find_source(path_or_hub_id)
    raw = config_fields(folder)
    if card is not None and position is not None:
        position = stretched(card, position)
    asked = position if card is None or position is not None else card.position
    if architectures.runs_as_published(raw, asked):
        return _read_published(folder, raw, asked)
    return _read_ours(folder, raw, card, position)


def _all_tensors(folder: CheckpointFolder) -> dict[str, TensorHeader]:
    every = read_headers(folder.weights)
    if folder.index is not None:
        check_index(folder.index, every)
    tensors = {name: tensor for name, tensor in every.items() if not is_left_over(name)}
    if not tensors:
        raise UserError(f"{inert(folder.weights[0].path)} holds no tensors; copy or download it again")
    return tensors


def _read_ours(folder: CheckpointFolder, raw: Mapping[str, Any], card: Card | None, position: str | None) -> ReadCheckpoint:
    """A Llama with a position embedding of ours."""
    from ropepp_eval.modeling.model import RopePPForCausalLM

    read = read_config(folder, raw)
    tensors = _all_tensors(folder)
    check_dtypes(tensors)
    if position is None and card is not None:
        embedding, overruled, evidence = detect_position(read.raw, tensors, card.position, f"card {card.name}")
    else:
        embedding, overruled, evidence = detect_position(read.raw, tensors, position)
    config = model_config(read, embedding, main_dtype(tensors))
    check_tensors(config, tensors)
    if config.tie_word_embeddings:
        tensors = _untied(folder, tensors, {_HEAD: _EMBEDDING})
    if card is not None:
        check_card(card, config, parameters_of(tensors))
    return ReadCheckpoint(
        folder,
        config,
        RopePPForCausalLM,
        tensors,
        own_cache(config),
        read.ids,
        config.max_position_embeddings,
        tuple(evidence),
        config.position,
        overruled,
        (*folder.settled, *read.settled),
        None if read.fields.note is None else inert(read.fields.note),
    )


def _read_published(folder: CheckpointFolder, raw: Mapping[str, Any], asked: str | None) -> ReadCheckpoint:
    """A checkpoint that runs through one of transformers' own classes."""
    where = inert(folder.config.path)
    kind = architectures.model_class(raw, where)
    if asked is not None:
        raise UserError(
            f"position {asked!r} is for Llama-shaped checkpoints; {kind.__name__} computes its positions itself: leave --position out"
        )
    config, left_out = architectures.published_config(kind, raw, where)
    ids, settled = ids_of(folder, raw, config.vocab_size)
    tensors = _all_tensors(folder)
    stops = ids.stops
    config.bos_token_id, config.pad_token_id = ids.bos, ids.pad
    config.eos_token_id = stops[0] if len(stops) == 1 else list(stops) or None
    config.architectures, config.use_cache = [kind.__name__], True
    config.dtype = getattr(torch, main_dtype(tensors))
    model = architectures.empty_model(kind, config, tensors, where)
    tensors = _untied(folder, architectures.used_tensors(model, tensors), architectures.tied_pairs(model))
    check_dtypes(tensors)
    kinds = cache_kinds(model)
    note = raw.get("note")
    return ReadCheckpoint(
        folder,
        config,
        kind,
        tensors,
        kinds,
        ids,
        architectures.trained_length(config, raw, where),
        (f"config.json: model_type is {config.model_type}, which runs through transformers' {kind.__name__}",),
        position_in_words(config, kinds, [name for name, _ in model.named_modules()]),
        settled=(*folder.settled, *settled, *left_out),
        note=inert(note)[:500] if isinstance(note, str) else None,
    )


def _untied(
    folder: CheckpointFolder, tensors: Mapping[str, TensorHeader], tied: Mapping[str, str]
) -> dict[str, TensorHeader]:
    """The tensors without those that only repeat the one they are tied to. Raises UserError for one with content of its own."""
    repeated = {name: source for name, source in tied.items() if name in tensors and source in tensors}
    for name, source in repeated.items():
        if not same_content(folder.weights, tensors[name], tensors[source]):
            raise UserError(
                f"{inert(folder.config.path)}: tie_word_embeddings is true, but {inert(tensors[name].file)} holds another {name} than "
                f"{source}; set the field to false if the model has this head, or remove the tensor if it has none of its own"
            )
    return {name: tensor for name, tensor in tensors.items() if name not in repeated}


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


def own_cache(config: RopePPConfig) -> CacheKinds:
    """What the layers of our own class keep, whatever the position embedding: keys and values of the cached heads."""
    return (FullLayers(layers=config.num_hidden_layers, entries_per_token=2 * config.heads.key_value * config.head_dim),)


def head_width(config: Any) -> int:
    """Width of an attention head; 0 where a model has none."""
    heads = int(getattr(config, "num_attention_heads", 0))
    return int(getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0))


def parameters_of(tensors: Mapping[str, TensorHeader]) -> int:
    """Entries of all tensors."""
    return sum(tensor.size for tensor in tensors.values())


def met_by_a_token(tensors: Mapping[str, Sequence[int]], config: Any) -> int:
    """Entries of the matrices that a token is multiplied with, embedding and output aside; of experts those that it meets.

    Args:
        tensors: shapes by name; those of layers have a number in theirs. Vectors are added, not multiplied with.
        config: says how many experts there are.
    """
    experts = next((int(n) for name in ("num_experts", "num_local_experts") if (n := getattr(config, name, None))), 0)
    met = int(getattr(config, "num_experts_per_tok", None) or experts)
    total = 0
    for name, shape in tensors.items():
        if len(shape) > 1 and _NUMBERED.search(name):
            size = math.prod(shape)
            total += size * met // experts if experts and ".experts." in name else size
    return total
