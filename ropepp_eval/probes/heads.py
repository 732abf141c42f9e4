"""Which heads there are, by what a checkpoint's headers say, and heads as people write them (`2:5` is head 5 of layer 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Heads, get_position

if TYPE_CHECKING:
    from ropepp_eval.checkpoints import CheckpointInfo

HeadPlaces = tuple[tuple[int, int], ...]
_WRITTEN = re.compile(r"(\d+):(\d+)")


def parse_heads(text: str) -> HeadPlaces:
    """`2:5,3:0` as (layer, head) pairs. Raises UserError for anything else."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    matches = [_WRITTEN.fullmatch(part) for part in parts]
    for part, match in zip(parts, matches, strict=True):
        if match is None:
            raise UserError(f"head {part!r} is not written LAYER:HEAD; give heads such as --heads 0:1,2:3")
    if not parts:
        raise UserError("heads '' name no head; give heads such as --heads 0:1,2:3")
    return tuple(dict.fromkeys((int(match[1]), int(match[2])) for match in matches if match))


def check_heads(heads: HeadPlaces, layers: int, attention_heads: int, name: str) -> None:
    """Raise UserError for a layer or head that the checkpoint does not have."""
    for layer, head in heads:
        if layer >= layers:
            raise UserError(f"layer {layer} is not there: checkpoint {name} has layers 0 to {layers - 1}; name one of these")
        if head >= attention_heads:
            raise UserError(
                f"head {head} of layer {layer} is not there: checkpoint {name} attends with heads 0 to {attention_heads - 1}; name one of these"
            )


def check_ours(info: CheckpointInfo) -> None:
    """Raise UserError for a checkpoint that runs through a class of transformers' own, whose heads are not known here."""
    if not info.ours:
        raise UserError(
            f"checkpoint {info.name} runs through transformers' {info.architecture}; probes of heads look into the position embeddings of "
            "this package only (`ropepp-eval inspect` names them); leave it out"
        )


def head_roles(info: CheckpointInfo) -> tuple[str, ...]:
    """`real` or `imaginary` for each attention head of a layer."""
    return get_position(info.position).head_roles(Heads(info.query_heads, info.key_value_heads, info.attention_heads))


def check_role(role: str, info: CheckpointInfo) -> None:
    """Raise UserError for a role that no head of the checkpoint has."""
    roles = sorted({*head_roles(info)})
    if role not in ("both", *roles):
        raise UserError(
            f"checkpoint {info.name} ({info.position}) has no {role} heads, only {' and '.join(roles)} ones; name --target {roles[-1]} or another "
            "checkpoint"
        )


def roles_of(by_head: Sequence[tuple[Any, ...]]) -> list[str]:
    """Roles among lines (layer, head, role, ...), real first."""
    return [role for role in ("real", "imaginary") if any(line[2] == role for line in by_head)]
