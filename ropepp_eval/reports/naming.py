"""How checkpoints and numbers of things are called, and which order names have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ropepp_eval.reports.cells import Cell

Checkpoint = tuple[str, str, str]
"""(name, sha256, position): what one line of a table is about."""


def checkpoint_of(cell: Cell) -> Checkpoint:
    return cell.name.checkpoint, cell.name.checkpoint_sha256, cell.name.position


def checkpoint_labels(cells: Iterable[Cell]) -> dict[Checkpoint, str]:
    """A label for each checkpoint, in the order in which they come: its name, with hash or position added only where
    names alone don't tell two apart."""
    checkpoints = list(dict.fromkeys(checkpoint_of(cell) for cell in cells))
    labels = {}
    for name, sha256, position in checkpoints:
        twins = [other for other in checkpoints if other[0] == name]
        extra = []
        if len({other[1] for other in twins}) > 1:
            extra.append(sha256[:8] or "no hash")
        if len({other[2] for other in twins}) > 1:
            extra.append(position)
        labels[name, sha256, position] = f"{name} ({', '.join(extra)})" if extra else name
    return labels


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `task2` before `task10`."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
