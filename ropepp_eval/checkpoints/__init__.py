"""From a folder or hub id to (config, weights, position embedding): reading, detecting, refusing."""

from ropepp_eval.checkpoints.cards import Card, find_card, list_cards
from ropepp_eval.checkpoints.export import export_checkpoint
from ropepp_eval.checkpoints.inspection import CheckpointInfo, inspect_checkpoint
from ropepp_eval.checkpoints.loading import load_checkpoint

__all__ = [
    "Card",
    "CheckpointInfo",
    "export_checkpoint",
    "find_card",
    "inspect_checkpoint",
    "list_cards",
    "load_checkpoint",
]
