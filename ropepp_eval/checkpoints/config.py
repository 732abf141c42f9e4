"""What config.json and generation_config.json say, checked, and the model's config made of the fields that are carried over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropepp_eval.checkpoints.folder import CheckpointFolder
from ropepp_eval.checkpoints.formats import CARRIED, ConfigFile, GenerationFile, IdFields
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.outside import checked, parse_json, shown
from ropepp_eval.positions import Position

_ADVICE = "correct it or download it again"
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_QUANTISED = ("quantization_config", "compression_config")


@dataclass(frozen=True)
class SpecialIds:
    """Token ids with a meaning, each within the vocabulary."""

    bos: int | None
    """generation_config.json's where it names one, else config.json's."""
    stops: tuple[int, ...]
    """Tokens that end a text, from the same file."""
    pad: int | None
    """config.json's."""


@dataclass(frozen=True)
class ReadConfig:
    """What the two files say."""

    raw: Mapping[str, Any]
    """config.json with all its fields; only position embeddings look there, for what they may claim."""
    fields: ConfigFile
    ids: SpecialIds
    settled: tuple[str, ...]
    """How odd values were settled, one sentence each."""


def config_fields(folder: CheckpointFolder) -> dict[str, Any]:
    """All fields of config.json. Raises UserError where it is none, or asks for what other readers obey and we do not."""
    where = inert(folder.config.path)
    raw = parse_json(folder.config.read(), where, advice=_ADVICE)
    if not isinstance(raw, dict):
        raise UserError(f"{where} holds {shown(raw)}, not fields; copy or download it again")
    _check_readings(raw, where)
    return raw


def read_config(folder: CheckpointFolder, raw: Mapping[str, Any]) -> ReadConfig:
    """Check both files of a Llama in the authors' form or ours, `raw` being its `config_fields`.

    Raises:
        UserError: with the file, the field, its value and what is allowed.
    """
    where = inert(folder.config.path)
    fields = checked(raw, ConfigFile, where, advice=_ADVICE)
    named = [(name, getattr(fields, name)) for name in _IDS]
    ids, settled = special_ids(folder, dict(named), fields.vocab_size)
    if fields.mask_config and fields.mask_config.noise_std:
        settled.append(f"config.json: mask_config asks for noise of {fields.mask_config.noise_std:g}, which is not applied")
    return ReadConfig(raw, fields, ids, tuple(settled))


def _check_readings(raw: Mapping[str, Any], where: str) -> None:
    """Raise UserError for fields that other readers obey and we do not, or of which each reader takes another."""
    for name in _QUANTISED:
        if raw.get(name):
            raise UserError(
                f"{where}: {name} is {shown(raw[name])}; quantised weights are not supported: take the checkpoint before "
                "quantisation, or remove the field if the weights are plain"
            )
    both = [raw[name] for name in ("rope_parameters", "rope_scaling") if raw.get(name)]
    if len(both) == 2 and both[0] != both[1]:
        raise UserError(
            f"{where}: rope_parameters is {shown(both[0])} and rope_scaling is {shown(both[1])}; keep the one that holds"
        )


def ids_of(folder: CheckpointFolder, raw: Mapping[str, Any], vocabulary: int) -> tuple[SpecialIds, list[str]]:
    """As `special_ids`, of any config.json. Raises UserError for an id that is none."""
    fields = checked({name: raw[name] for name in _IDS if name in raw}, IdFields, inert(folder.config.path), advice=_ADVICE)
    return special_ids(folder, {name: getattr(fields, name) for name in _IDS}, vocabulary)


def special_ids(folder: CheckpointFolder, ids: dict[str, Any], vocabulary: int) -> tuple[SpecialIds, list[str]]:
    """The token ids of config.json, those of generation_config.json before them, and what was wrong with some, a sentence each."""
    sources = dict.fromkeys(ids, "config.json")
    if folder.generation is not None:
        where = inert(folder.generation.path)
        said = checked(parse_json(folder.generation.read(), where, advice=_ADVICE), GenerationFile, where, advice=_ADVICE)
        for name in ("bos_token_id", "eos_token_id"):
            if getattr(said, name) is not None:
                ids[name], sources[name] = getattr(said, name), "generation_config.json"
    inside: dict[str, tuple[int, ...]] = {}
    settled = []
    for name, value in ids.items():
        listed = () if value is None else value if isinstance(value, tuple) else (value,)
        inside[name] = tuple(dict.fromkeys(i for i in listed if 0 <= i < vocabulary))
        settled += [
            f"{sources[name]}: {name} {i} is outside the vocabulary of {vocabulary:,} and is not used"
            for i in listed
            if not 0 <= i < vocabulary
        ]
    bos, pad = (next(iter(inside[name]), None) for name in ("bos_token_id", "pad_token_id"))
    return SpecialIds(bos, inside["eos_token_id"], pad), settled


def model_config(read: ReadConfig, position: Position, dtype: str) -> RopePPConfig:
    """The model's config: fields on the list, token ids and the position embedding, nothing else. Raises UserError."""
    carried = {name: value for name, value in read.fields if name in CARRIED and value is not None}
    stops = read.ids.stops
    try:
        return RopePPConfig(
            **carried,
            **position.to_hf(),
            position=position.name,
            bos_token_id=read.ids.bos,
            eos_token_id=stops[0] if len(stops) == 1 else list(stops) or None,
            pad_token_id=read.ids.pad,
            architectures=["RopePPForCausalLM"],
            use_cache=True,
            dtype=dtype,
        )
    except UserError:
        raise
    except Exception as error:  # the strict config raises its own kinds for fields that contradict each other
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"config.json can't be used: {reason}; correct the field or download it again") from error
