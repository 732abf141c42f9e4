"""Tiny checkpoints that ship with the package, and what makes them: `zoo` trains, `curriculum` says what is read when."""
