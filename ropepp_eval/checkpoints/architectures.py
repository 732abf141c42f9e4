"""transformers' own classes for checkpoints that are not the paper's: which class a config names, its config, and whether the
weights are exactly its own. No class is found by anything but a name that transformers itself knows."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ropepp_eval.checkpoints.header import DTYPES, TensorHeader
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown
from ropepp_eval.positions import positions

_OURS = ("llama", "ropepp")
_OUR_ROPE_TYPES = (None, "default", "linear", "ropepp_yarn")
_OLDER_NAMES = frozenset({
    "rope_scaling", "rope_theta", "partial_rotary_factor", "rotary_pct", "rotary_emb_base", "rope_local_base_freq", "head_dim",
    "sliding_window_pattern", "original_max_position_embeddings", "full_attention_interval", "first_k_dense_replace", "moe_layer_freq",
    "num_experts", "n_embed", "global_rope_theta", "local_rope_theta", "global_attn_every_n_layers", "hybrid_override_pattern",
    "rotary_dim", "tie_embedding", "block_ff_dim", "num_hash_layers", "compress_ratios", "mamba_n_groups", "mamba_expand",
    "mamba_dt_min", "mamba_dt_max", "mamba_dt_limit", "mamba_dt_init_floor", "mamba_d_conv", "mamba_conv_bias", "mamba_chunk_size",
    "tie_word_embeddings", "max_position_embeddings",
})  # fmt: skip
"""Fields that classes read though they are none of their own: older releases' names, and sizes that most share."""
_ELSEWHERE = frozenset({
    "use_cache", "bos_token_id", "eos_token_id", "pad_token_id", "model_type", "torch_dtype", "_name_or_path", "_attn_implementation_autoset",
    "output_router_logits", "num_labels", "note", "hidden_dropout", "classifier_dropout", "summary_type", "summary_use_proj",
    "summary_activation", "summary_proj_to_labels", "summary_first_dropout", "summary_last_dropout",
})  # fmt: skip
"""Fields that are read by our own reader, or that say nothing about a language model's answers."""
_LARGEST = 1 << 31
_LAYER = re.compile(r"(?:^|\.)(\d{1,9})\.")


def runs_as_published(raw: Mapping[str, Any], asked: str | None) -> bool:
    """Whether a checkpoint runs through transformers' own class: every one that is not Llama-shaped, and a bare Llama whose rope
    type only transformers computes, unless the user names a position embedding.

    Args:
        raw: its config.json.
        asked: what `--position` or a card says.
    """
    if raw.get("model_type") not in _OURS:
        return True
    if raw.get("model_type") == "ropepp" or asked is not None:
        return False
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None
    if not isinstance(kind, str) or kind in _OUR_ROPE_TYPES or raw.get("rope_config"):
        return False
    return not any(known.claim(raw) for known in positions().values())


def model_class(raw: Mapping[str, Any], where: str) -> Any:
    """The causal language model that a config names, one of transformers' own classes.

    Args:
        raw: config.json.
        where: its name, for messages.

    Raises:
        UserError: it names none, asks for code of its own, or is something else than one decoder of text.
    """
    import transformers
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    kind = raw.get("model_type")
    if raw.get("auto_map"):
        raise UserError(
            f"{where}: auto_map is {shown(raw['auto_map'])}; code that comes with a checkpoint is never run: remove the field "
            f"if transformers' own {inert(repr(kind))[:80]} is the same model"
        )
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise UserError(
            f"{where}: model_type is {inert(repr(kind))[:80]}, which transformers {transformers.__version__} does not know; llama (the authors' "
            "form), ropepp and transformers' own causal language models are read: try a newer transformers, or check the field"
        )
    configuration = CONFIG_MAPPING[kind]
    if raw.get("is_encoder_decoder", configuration.is_encoder_decoder):
        raise UserError(
            f"{where}: {kind} is an encoder-decoder; only decoders, which read and continue one text, are evaluated"
        )
    if kind not in CAUSAL:
        raise UserError(
            f"{where}: transformers has no causal language model of model_type {kind}; name a decoder's checkpoint"
        )
    if configuration.sub_configs:
        raise UserError(
            f"{where}: {kind} is made of several models ({', '.join(configuration.sub_configs)}); take a checkpoint of its text "
            "model alone"
        )
    name, said = CAUSAL[kind], raw.get("architectures")
    if said and name not in (said if isinstance(said, list) else [said]):
        raise UserError(f"{where}: architectures is {shown(said)}; the causal language model of {kind} is {name}")
    found = getattr(transformers, name)
    if not isinstance(found, type):
        raise UserError(f"{where}: {name} needs a package that is not installed here")
    return found


def published_config(kind: Any, raw: Mapping[str, Any], where: str) -> tuple[Any, list[str]]:
    """The config of one of transformers' classes, of the fields that are its own, and what was left out, a sentence each.

    Raises:
        UserError: a field has a value that the class refuses, or would change the model though it is none of the class's own.
    """
    from transformers import GenerationConfig, PreTrainedConfig

    configuration = kind.config_class
    common = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = {field.name for field in dataclasses.fields(configuration)} - common
    other = {*configuration.attribute_map, *configuration.attribute_map.values()}  # both are written for such a field
    names = (own | other | _OLDER_NAMES) - _ELSEWHERE
    for name in ("per_layer_config", "use_bidirectional_attention", "is_cross_attention", "add_cross_attention"):
        if raw.get(name):
            raise UserError(
                f"{where}: {name} is {shown(raw[name])}; that makes another model than the one that is evaluated here"
            )
    carried = {name: value for name, value in raw.items() if name in names and not name.startswith("_")}
    for name, value in carried.items():
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise UserError(f"{where}: {name} is {value}; it must be below {_LARGEST:,}")
    sampling = set(GenerationConfig().to_dict())
    left_out = sorted(
        inert(name)[:60] for name in raw if name not in names | common | sampling | _ELSEWHERE and not name.startswith("_")
    )
    try:
        config = configuration(**carried)
        _check_sizes(config)
    except UserError:
        raise
    except Exception as error:  # every class has its own ways to refuse a field
        raise UserError(
            f"{where}: {kind.__name__} refuses it: {_short(error)}; correct the field or download it again"
        ) from error
    return config, [
        f"config.json: {', '.join(left_out[:12])} not read, which {kind.__name__} does not have"
    ] if left_out else []


def _check_sizes(config: Any) -> None:
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        value, most = getattr(config, name, 1), 1 << (12 if name == "num_hidden_layers" else 24)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise UserError(f"config.json: {name} is {shown(value)}; it must be a whole number of 1 to {most:,}")


def trained_length(config: Any, raw: Mapping[str, Any], where: str) -> int:
    """Tokens that the config says the model was made for. Raises UserError where it says nothing."""
    for found in (getattr(config, "max_position_embeddings", None), raw.get("max_position_embeddings")):
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    raise UserError(
        f"{where}: it names no max_position_embeddings, so how long a text {config.model_type} was trained for is not known; add the "
        "field with that length in tokens"
    )


def used_tensors(model: Any, tensors: Mapping[str, TensorHeader]) -> dict[str, TensorHeader]:
    """The tensors without those that the model's class itself ignores, such as old releases' causal masks."""
    patterns = [re.compile(pattern) for pattern in (model._keys_to_ignore_on_load_unexpected or ())]
    own = set(model.state_dict())
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name in own or not any(pattern.search(name) for pattern in patterns)
    }


def empty_model(kind: Any, config: Any, tensors: Mapping[str, TensorHeader], where: str) -> Any:
    """The class's model on the meta device, loaded as it will be but without numbers: every tensor must find its place.

    Raises:
        UserError: for the first tensor that is missing, has another shape, or has no place in the model.
    """
    layers = {int(found[1]) for name in tensors if (found := _LAYER.search(name))}
    if config.num_hidden_layers > len(layers):  # said before so many are built
        raise UserError(
            f"config.json: num_hidden_layers is {config.num_hidden_layers:,}, and the weights hold {len(layers):,} layers; "
            "they do not belong together"
        )
    shapes = {
        name: torch.empty(
            tensor.shape, dtype=getattr(torch, DTYPES[tensor.dtype][0] if tensor.dtype in DTYPES else "bool"), device="meta"
        )
        for name, tensor in tensors.items()
    }
    try:
        with quiet_loading():
            model, info = kind.from_pretrained(
                None, config=config, state_dict=shapes, device_map={"": "meta"}, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # conversions of weights and constructors fail in their own ways
        raise UserError(f"{where}: {kind.__name__} can't be made of these weights: {_short(error)}") from error
    name = kind.__name__
    for missing in sorted(info["missing_keys"]):
        raise UserError(f"the weights lack {missing}, which {name} needs; the checkpoint is incomplete")
    for odd, stored, wanted in sorted(info["mismatched_keys"], key=lambda entry: str(entry[0])):
        raise UserError(
            f"{inert(odd)[:200]} is {list(stored)} in the weights, and config.json with {name} makes it {list(wanted)}; they do not "
            "belong together"
        )
    for odd in sorted(info["unexpected_keys"]):
        raise UserError(
            f"the weights hold {inert(odd)[:200]}, for which {name} has no place; config.json and weights do not belong together"
        )
    return model


def tied_pairs(model: Any) -> dict[str, str]:
    """Names of tensors that the model takes from another, which it names."""
    return {str(target): str(source) for target, source in model.all_tied_weights_keys.items()}


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """transformers without its bar and its report of loading: what is wrong is said by us, in one line."""
    from transformers.utils import logging

    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def kernel_for(config: Any, kind: Any, asked: str) -> str:
    """The attention kernel that computes what the class means: `eager` where `sdpa` was asked for and the class has none, or would
    leave out its soft cap on scores."""
    lacks = not getattr(kind, "_supports_sdpa", True) or getattr(config, "attn_logit_softcapping", None) is not None
    return "eager" if asked == "sdpa" and lacks else asked


def _short(error: BaseException) -> str:
    return inert(" ".join(str(error).split()))[:240] or type(error).__name__
