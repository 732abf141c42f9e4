"""Private random streams: what is drawn for one row never depends on what was drawn for another."""

from __future__ import annotations

import random


def private_stream(*parts: str | int) -> random.Random:
    """A random stream of its own for these parts, equal in every process and on every machine.

    The parts are joined and hashed (sha512, by `random.seed` version 2), so neighbouring seeds give unrelated streams.
    """
    return random.Random("/".join(str(part) for part in parts))
