"""Which position embedding a checkpoint has, and what says so: the user, the config, or the shapes of its tensors.

What the weights contradict is refused. What they can't tell (NoPE, Linear PI, YaRN) only the config or the user can say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropepp_eval.checkpoints.header import TensorHeader
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown
from ropepp_eval.positions import Position, get_position, parse_position, positions
from ropepp_eval.positions.registry import parse_position_settings, with_settings
from ropepp_eval.positions.scaling import (
    LinearScaling,
    Scaling,
    YarnScaling,
    parse_scaling,
    scaling_from_rope_parameters,
    scaling_label,
)
from ropepp_eval.positions.settings import settings_label

_UNSTRETCHED = ("rope_theta", "partial_rotary_factor")
"""Fields of rope_parameters that say nothing about a scaling."""
_LAYER = "model.layers.0.self_attn."
Tensors = Mapping[str, TensorHeader]


def detect_position(
    config: Mapping[str, Any], tensors: Tensors, asked: str | None, said_by: str = "position="
) -> tuple[Position, str, list[str]]:
    """The position embedding of a checkpoint, those of its settings that the user or card overruled, and the sentences that say why.

    Args:
        config: its config.json, in the authors' form or in ours.
        tensors: the headers of its weights.
        asked: what the user or a card says, such as `ropepp_ec`, `rope+pi8` or `rope:base=5e5`; `+pi8` says the scaling alone, None
            nothing: the rest is found out.
        said_by: who said that, for the evidence.

    Raises:
        UserError: the user, the config and the weights contradict each other, or the name is unknown.
    """
    ours = config.get("model_type") == "ropepp"
    claims = _claims(config, ours)
    alone = asked is not None and asked.startswith("+")
    kind, scaling, scaling_given = parse_position(asked) if asked and not alone else (None, None, False)
    if asked is not None and alone:
        scaling, scaling_given = parse_scaling(asked[1:]), True
    evidence = []
    if alone:
        evidence.append(f"{said_by} says scaling {asked}")
    if kind is not None:
        evidence.append(f"{said_by} says {asked}")
        evidence += [f"{claim}: overruled" for other, claim in claims.items() if other is not kind]
    elif claims:
        kind = _only_claim(claims)
        evidence.append(claims[kind])
    elif config.get("rope_config"):
        raise UserError(
            f"config.json: rope_config is {shown(config['rope_config'])}, which no known position claims; say one with --position"
        )
    else:
        kind, sentence = _by_shapes(config, tensors)
        evidence.append(sentence)
    if not scaling_given:
        scaling = _configured_scaling(config, evidence)
    own = _configured_position(kind, config, scaling)
    position = with_settings(own, parse_position_settings(asked)) if asked and not alone else own
    _check_attention(position, config, tensors, evidence)
    return position, settings_label(position, own), evidence


def _configured_position(kind: type[Position], config: Mapping[str, Any], scaling: Scaling | None) -> Position:
    """The embedding with the settings of the config and this scaling: naming a scaling resets nothing else."""
    if config.get("model_type") == "ropepp" and kind.name == config.get("position"):
        parameters = {k: v for k, v in (config.get("rope_parameters") or {}).items() if k in _UNSTRETCHED}
        return kind.from_hf(parameters, config.get("position_settings") or {}).stretched(scaling)
    return kind.from_published(config, scaling)


def _claims(config: Mapping[str, Any], ours: bool) -> dict[type[Position], str]:
    if ours:
        name = str(config.get("position"))
        return {get_position(name): f"config.json: position is {name}"}
    found = {kind: kind.claim(config) for kind in positions().values()}
    return {kind: claim for kind, claim in found.items() if claim is not None}


def _only_claim(claims: dict[type[Position], str]) -> type[Position]:
    if len(claims) > 1:
        said = "; ".join(f"{claim} ({kind.name})" for kind, claim in claims.items())
        raise UserError(f"the config contradicts itself: {said}; say which one holds with --position")
    return next(iter(claims))


def _configured_scaling(config: Mapping[str, Any], evidence: list[str]) -> Scaling | None:
    """The scaling that the config tells, in the authors' `rope_config` or transformers' own fields."""
    standard, where = config.get("rope_parameters") or config.get("rope_scaling") or {}, "rope_parameters"
    if not config.get("rope_parameters") and standard:
        where = "rope_scaling"
    scaling = scaling_from_rope_parameters(standard, f"config.json: {where}")
    authors = config.get("rope_config") or {}
    if authors.get("factor") is not None:
        if scaling is not None:
            raise UserError(
                f"config.json has a factor in rope_config and in {where}; say which holds, such as --position rope+pi8"
            )
        factor = float(authors["factor"])
        scaling = YarnScaling(factor=factor) if authors.get("yarn") else LinearScaling(factor=factor)
        where = "rope_config"
    elif authors.get("yarn"):
        raise UserError(
            "config.json: rope_config.yarn is true but it has no factor; say it yourself, such as --position rope+yarn32"
        )
    if scaling is not None:
        evidence.append(f"config.json: {where} says scaling {scaling_label(scaling)}")
    return scaling


def expected_attention(kind: type[Position], config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the first layer's attention projections for a position embedding, by tensor name.

    Raises:
        UserError: it can't be built with these head counts.
    """
    hidden, query_heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    key_value_heads = _whole(config, "num_key_value_heads", query_heads)
    head_dim = _whole(config, "head_dim", hidden // query_heads)
    heads = kind.heads(query_heads, key_value_heads)
    return {
        f"{_LAYER}q_proj.weight": (heads.query * head_dim, hidden),
        f"{_LAYER}k_proj.weight": (heads.key_value * head_dim, hidden),
        f"{_LAYER}v_proj.weight": (heads.key_value * head_dim, hidden),
        f"{_LAYER}o_proj.weight": (hidden, heads.attention * head_dim),
    }


def _whole(config: Mapping[str, Any], field: str, default: int | None = None) -> int:
    value = config.get(field)
    value = default if value is None else value
    if not isinstance(value, int) or value < 1:
        raise UserError(f"config.json: {field} is {value!r}; it must be a whole number above 0")
    return value


def _misfit(kind: type[Position], config: Mapping[str, Any], tensors: Tensors) -> str | None:
    """The first projection that is missing or has another shape than this kind needs, in words; None: all fit."""
    try:
        expected = expected_attention(kind, config)
    except UserError as error:
        return str(error)
    for name, shape in expected.items():
        if name not in tensors:
            return f"{name} is missing"
        if tensors[name].shape != shape:
            return f"{name} is {list(tensors[name].shape)}, and {kind.name} needs {list(shape)}"
    return None


def _stored_names(kind: type[Position], config: Mapping[str, Any]) -> set[str]:
    hidden, query_heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    heads = kind.heads(query_heads, _whole(config, "num_key_value_heads", query_heads))
    position = kind.from_published(config, None)
    return set(position.stored(heads, _whole(config, "head_dim", hidden // query_heads)))


def _by_shapes(config: Mapping[str, Any], tensors: Tensors) -> tuple[type[Position], str]:
    """The kind whose projections and stored tensors are those of the checkpoint."""
    projections = {"q_proj", "k_proj", "v_proj", "o_proj"}
    inside = {name.removeprefix(_LAYER) for name in tensors if name.startswith(_LAYER)}
    extra = {name for name in inside if name.split(".")[0] not in projections and not name.endswith("inv_freq")}
    candidates = [kind for kind in positions().values() if kind.told_by_shapes]
    fitting = [k for k in candidates if _misfit(k, config, tensors) is None and _stored_names(k, config) == extra]
    if len(fitting) != 1:
        misfits = dict.fromkeys(filter(None, (_misfit(kind, config, tensors) for kind in candidates)))
        reason = "; ".join(misfits) or f"{_LAYER}{inert(min(extra, default=''))[:200]} belongs to none"
        raise UserError(
            f"no position embedding fits the weights: {reason}; check that config.json and the weights belong together"
        )
    shapes = {name: list(tensors[f"{_LAYER}{name}"].shape) for name in ("q_proj.weight", "k_proj.weight", "o_proj.weight")}
    said = ", ".join(f"{name} {shape}" for name, shape in {**shapes, **dict.fromkeys(sorted(extra), "present")}.items())
    return fitting[0], f"config.json names no position embedding; the shapes of layer 0 do: {said}"


def _check_attention(position: Position, config: Mapping[str, Any], tensors: Tensors, evidence: list[str]) -> None:
    kind = type(position)
    misfit = _misfit(kind, config, tensors)
    if misfit is None:
        return
    fits = [k.name for k in positions().values() if k.told_by_shapes and _misfit(k, config, tensors) is None]
    hint = f"the projections fit {' and '.join(fits)}" if fits else "config.json and the weights do not belong together"
    raise UserError(f"the weights contradict {kind.name} ({evidence[0]}): {misfit}; {hint}")
