"""Position embeddings: one file each, pure functions of tensors, no Hugging Face."""

from ropepp_eval.positions.base import Heads, Position, Rotary
from ropepp_eval.positions.registry import get_position, load_position_module, parse_position, position, positions

__all__ = [
    "Heads",
    "Position",
    "Rotary",
    "get_position",
    "load_position_module",
    "parse_position",
    "position",
    "positions",
]
