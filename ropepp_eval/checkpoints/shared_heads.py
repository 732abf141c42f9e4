"""Key/value heads that several processes or GPUs share."""

from __future__ import annotations

from ropepp_eval.errors import UserError
from ropepp_eval.words import counted


def check_shared_heads(heads: int, parts: int, checkpoint: str, option: str) -> None:
    """Raise UserError where `parts`, which `option` names, can't share a checkpoint's key/value heads evenly."""
    if heads % parts:
        fitting = ", ".join(str(number) for number in range(1, heads + 1) if heads % number == 0)
        raise UserError(
            f"{option} {parts} does not divide the {counted(heads, 'key/value head')} of {checkpoint}; it may be {fitting}"
        )
