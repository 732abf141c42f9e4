"""RoPE++ (arXiv 2512.07525, section 3; rope_pp at 91ba335): beside each real head an imaginary one, a quarter turn back.

The paper's scalar formulas disagree in sign with its matrix form and code; the matrix form is the definition used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ropepp_eval.errors import UserError
from ropepp_eval.positions.base import Heads, Rotary
from ropepp_eval.positions.registry import position
from ropepp_eval.positions.rotation import imaginary_query, interleave_heads


@dataclass(frozen=True, kw_only=True)
class RopePP(Rotary):
    """What both kinds share: every query attends twice, once real and once imaginary, to the same keys and values."""

    told_by_shapes: ClassVar[bool] = True
    authors_mode: ClassVar[str] = ""
    """`rope_config.imag_mode` of the authors' files."""

    @classmethod
    def head_roles(cls, heads: Heads) -> tuple[str, ...]:
        return ("real", "imaginary") * heads.query

    def encode(
        self, query: Tensor, key: Tensor, tables: tuple[Tensor, ...], stored: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        query, key = super().encode(query, key, tables, stored)
        return interleave_heads(query, imaginary_query(query)), key

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        rope_config = config.get("rope_config") or {}
        if rope_config.get("imag") and rope_config.get("imag_mode") == cls.authors_mode:
            return f"config.json: rope_config.imag is true, imag_mode is {cls.authors_mode}"
        return None


@position("ropepp_eh")
@dataclass(frozen=True, kw_only=True)
class RopePPEqualHeads(RopePP):
    """EH: as many attention heads as RoPE, from half the projections, so half the cache."""

    authors_mode: ClassVar[str] = "imag1"

    @classmethod
    def heads(cls, query_heads: int, key_value_heads: int) -> Heads:
        for field, count in (("num_attention_heads", query_heads), ("num_key_value_heads", key_value_heads)):
            if count % 2:
                raise UserError(f"{field} is {count}; {cls.name} projects half of them, so it must be even")
        return Heads(query_heads // 2, key_value_heads // 2, query_heads)


@position("ropepp_ec")
@dataclass(frozen=True, kw_only=True)
class RopePPEqualCache(RopePP):
    """EC: RoPE's projections and cache, twice the attention heads."""

    authors_mode: ClassVar[str] = "imag2"

    @classmethod
    def heads(cls, query_heads: int, key_value_heads: int) -> Heads:
        return Heads(query_heads, key_value_heads, 2 * query_heads)
