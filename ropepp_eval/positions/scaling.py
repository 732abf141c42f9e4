"""How a rotary embedding is stretched to a longer context: Linear PI and YaRN, as the published models use them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ropepp_eval.errors import UserError

TRAINED_LENGTH_TOKENS = 4096
"""Length at which every published short-context model was trained; the authors' YaRN holds it as a constant."""


def _checked_factor(kind: str, factor: float) -> None:
    if not (math.isfinite(factor) and factor >= 1):
        raise UserError(f"{kind} factor {factor!r} is below 1; it says how many times longer the context becomes, such as 8")


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Linear position interpolation: every angle is divided by the factor (rope_pp at 91ba335, `yarn: false`)."""

    factor: float
    """How many times longer the context becomes; 1 is plain RoPE."""

    def __post_init__(self) -> None:
        _checked_factor("Linear PI", self.factor)

    @property
    def label(self) -> str:
        return f"pi{self.factor:g}"

    @property
    def table_scale(self) -> float:
        """What cos and sin are multiplied with."""
        return 1.0

    def stretch(self, plain: Tensor) -> Tensor:
        """Inverse frequencies [n] of plain RoPE, radians a position, as this scaling wants them."""
        return plain / self.factor

    def to_rope_parameters(self) -> dict[str, Any]:
        return {"rope_type": "linear", "factor": self.factor}


@dataclass(frozen=True, kw_only=True)
class YarnScaling:
    """YaRN as the authors wrote it (rope_pp at 91ba335): the ramp is linear in the number of turns over the original length.

    transformers' rope type `yarn` ramps over the dimension's index and gives other frequencies, so ours has its own name.
    """

    factor: float
    """How many times longer the context becomes; 1 is plain RoPE."""
    original_length: int = TRAINED_LENGTH_TOKENS
    """Context length before stretching, in tokens."""

    def __post_init__(self) -> None:
        _checked_factor("YaRN", self.factor)
        if self.original_length < 1:
            raise UserError(
                f"YaRN original length {self.original_length} is not a length in tokens; the published models have 4096"
            )

    @property
    def label(self) -> str:
        original = "" if self.original_length == TRAINED_LENGTH_TOKENS else f"@{self.original_length}"
        return f"yarn{self.factor:g}{original}"

    @property
    def table_scale(self) -> float:
        """What cos and sin are multiplied with, for queries and keys alike."""
        return 0.1 * math.log(self.factor) + 1.0

    def stretch(self, plain: Tensor) -> Tensor:
        """Inverse frequencies [n]: fast ones (32 turns or more) are kept, slow ones (1 or fewer) divided by the factor."""
        if self.factor == 1:  # g f + (1 - g) f is not f bit for bit
            return plain
        turns = self.original_length / (2 * math.pi) * plain
        kept = torch.clamp((turns - 1) / (32 - 1), 0, 1)
        return kept * plain + (1 - kept) * plain / self.factor

    def to_rope_parameters(self) -> dict[str, Any]:
        return {
            "rope_type": "ropepp_yarn",
            "factor": self.factor,
            "original_max_position_embeddings": self.original_length,
        }


Scaling = LinearScaling | YarnScaling
_WRITTEN = re.compile(r"(pi|yarn)(\d+(?:\.\d+)?)(?:@(\d+))?")


def parse_scaling(text: str) -> Scaling | None:
    """`pi8`, `yarn32`, `yarn32@8192` (with the original length in tokens) or `none`.

    Raises:
        UserError: the text is none of these, or its factor is below 1.
    """
    if text == "none":
        return None
    match = _WRITTEN.fullmatch(text)
    if not match or (match[1] == "pi" and match[3]):
        raise UserError(
            f"scaling {text!r} is unknown; write pi8 (Linear PI), yarn32, yarn32@4096 (with the original length) or none"
        )
    if match[1] == "pi":
        return LinearScaling(factor=float(match[2]))
    return YarnScaling(factor=float(match[2]), original_length=int(match[3] or TRAINED_LENGTH_TOKENS))


def scaling_from_rope_parameters(parameters: dict[str, Any], where: str) -> Scaling | None:
    """The scaling of a `rope_parameters` (or `rope_scaling`) field.

    Raises:
        UserError: the rope type is one we do not compute, or a number is missing; `where` names the field in the message.
    """
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind in (None, "default"):
        return None
    if kind not in ("linear", "ropepp_yarn"):
        raise UserError(
            f"{where} asks for rope type {kind!r}, which is not implemented (default, linear and ropepp_yarn are); "
            "name the scaling yourself if you know it, such as --position rope+pi8"
        )
    if "factor" not in parameters:
        raise UserError(f"{where} of type {kind!r} has no factor; add how many times longer the context becomes, such as 8")
    if kind == "linear":
        return LinearScaling(factor=float(parameters["factor"]))
    original = parameters.get("original_max_position_embeddings")
    if original is None:
        raise UserError(
            f"{where} of type {kind!r} has no original_max_position_embeddings; add the length trained at, such as 4096"
        )
    return YarnScaling(factor=float(parameters["factor"]), original_length=int(original))


def scaling_label(scaling: Scaling | None) -> str:
    """`none`, or what `parse_scaling` reads back."""
    return "none" if scaling is None else scaling.label
