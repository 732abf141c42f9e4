"""Which heads there are, by what a checkpoint's headers say, and heads as people write them (`2:5` is head 5 of layer 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Heads, get_position
from ropepp_eval.probes.watching import attention_layers

if TYPE_CHECKING:
    from ropepp_eval.checkpoints.inspection import CheckpointInfo

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


@dataclass(frozen=True)
class HeadFacts:
    """What is known of the heads of a checkpoint or a model."""

    name: str
    position: str
    layers: int
    roles: tuple[str, ...]
    """`real` or `imaginary` for each attention head of a layer."""

    def places(self, target: str) -> HeadPlaces:
        """(layer, head) of every head of a role; of all for `both`."""
        return tuple(
            (layer, head) for layer in range(self.layers) for head, role in enumerate(self.roles) if target in ("both", role)
        )

    def check_heads(self, heads: HeadPlaces) -> None:
        """Raise UserError for a layer or head that is not there."""
        for layer, head in heads:
            if not 0 <= layer < self.layers:
                raise UserError(
                    f"layer {layer} is not there: checkpoint {self.name} has layers 0 to {self.layers - 1}; name one of these"
                )
            if not 0 <= head < len(self.roles):
                raise UserError(
                    f"head {head} of layer {layer} is not there: checkpoint {self.name} attends with heads 0 to {len(self.roles) - 1}; name "
                    "one of these"
                )

    def check_role(self, role: str) -> None:
        """Raise UserError for a role that no head has."""
        have = sorted({*self.roles}, reverse=True)
        if role not in ("both", *have):
            raise UserError(
                f"checkpoint {self.name} ({self.position}) has no {role} heads, only {' and '.join(have)} ones; name --target {have[0]} or another "
                "checkpoint"
            )


def facts_of_checkpoint(info: CheckpointInfo) -> HeadFacts:
    """From headers.

    Raises:
        UserError: the checkpoint runs through a class of transformers' own, whose heads are not known here.
    """
    if not info.ours:
        raise UserError(
            f"checkpoint {info.name} runs through transformers' {info.architecture}, and probes of heads look into the position embeddings of "
            "this package only (`ropepp-eval inspect` names them); the probes cost and extrapolation work with it"
        )
    heads = Heads(info.query_heads, info.key_value_heads, info.attention_heads)
    return HeadFacts(info.name, info.position, info.layers, get_position(info.position).head_roles(heads))


def facts_of_model(model: Any, name: str) -> HeadFacts:
    """Of a loaded model. Raises UserError as `facts_of_checkpoint`."""
    attention_layers(model)
    config = model.config
    return HeadFacts(name, config.position, config.num_hidden_layers, tuple(config.head_roles))


def roles_of(by_head: Sequence[tuple[Any, ...]]) -> list[str]:
    """Roles among lines (layer, head, role, ...), real first."""
    return [role for role in ("real", "imaginary") if any(line[2] == role for line in by_head)]
