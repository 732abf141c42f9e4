"""The zoo: one YAML card a checkpoint, and the tiny checkpoints that ship with the package."""
