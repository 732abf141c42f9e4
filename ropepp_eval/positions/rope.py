"""Plain rotary embedding (RoFormer, arXiv 2104.09864), the baseline of everything here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ropepp_eval.positions.base import Rotary
from ropepp_eval.positions.registry import position


@position("rope")
@dataclass(frozen=True, kw_only=True)
class Rope(Rotary):
    """Queries and keys turned by position times frequency."""

    told_by_shapes: ClassVar[bool] = True

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        rope_config = config.get("rope_config")
        if rope_config is not None and not rope_config.get("imag"):
            return "config.json: rope_config.imag is false"
        return None
