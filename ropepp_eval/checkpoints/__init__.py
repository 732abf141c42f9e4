"""From a folder or hub id to (config, weights, position embedding): reading, detecting, refusing."""
