"""How checkpoints and numbers of things are called, and which order names have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cell
from ropepp_eval.words import counted as counted

Checkpoint = tuple[str, str, str]
"""(name, sha256, position): what one line of a table is about."""


def checkpoint_of(cell: Cell) -> Checkpoint:
    return cell.name.checkpoint, cell.name.checkpoint_sha256, cell.name.position


def checkpoint_labels(cells: Iterable[Cell]) -> dict[Checkpoint, str]:
    """A label for each checkpoint, in the order in which they come: its name on one line, with hash or position added only
    where names alone don't tell two apart."""
    checkpoints = list(dict.fromkeys(checkpoint_of(cell) for cell in cells))
    labels = {}
    for one in checkpoints:
        name, sha256, position = inert(one[0]), one[1], inert(one[2])
        twins = [other for other in checkpoints if inert(other[0]) == name]
        extra = []
        if len({other[1] for other in twins}) > 1:
            extra.append(inert(sha256[:8]) or "no hash")
        if len({other[2] for other in twins}) > 1:
            extra.append(position)
        labels[one] = f"{name} ({', '.join(extra)})" if extra else name
    return labels


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `task2` before `task10`."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)
