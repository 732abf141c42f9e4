"""From a folder or hub id to (config, weights, position embedding): reading, detecting, refusing."""

from ropepp_eval.checkpoints.inspection import CheckpointInfo, inspect_checkpoint
from ropepp_eval.checkpoints.loading import load_checkpoint

__all__ = ["CheckpointInfo", "inspect_checkpoint", "load_checkpoint"]
