"""How long work still takes: what was foreseen of its parts, corrected by what was seen of those that are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TRUST = 0.1
"""Share of the whole work that has to be seen before it counts as much as the forecast."""
_SQUARE_FROM_TOKENS = 8192
_PASS_AS_TOKENS = 50.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one cell, which are all taken to be alike."""

    checkpoint: str
    task: str
    rows: int
    foreseen_seconds: float
    """Of all of them; where nothing was measured, only the proportion to other parts is meant."""
    done_rows: int = 0
    done_seconds: float = 0.0
    begun_seconds: float = 0.0
    """Spent on rows that are not done yet."""

    @property
    def seen_of_foreseen(self) -> float:
        """The forecast of what is done."""
        return self.foreseen_seconds * self.done_rows / max(1, self.rows)

    @property
    def left_of_foreseen(self) -> float:
        """The forecast of what is not."""
        return self.foreseen_seconds * (self.rows - self.done_rows) / max(1, self.rows)


def seconds_left(parts: Sequence[Part], *, measured: bool) -> float | None:
    """Seconds until all parts are done.

    A part goes as far from its forecast as what was seen of it, of its task on its checkpoint, of its checkpoint and of all: the nearer,
    the more it counts.

    Args:
        measured: whether forecasts are seconds; else proportions, which say nothing before something is done.
    """
    if not any(part.left_of_foreseen for part in parts):
        return 0.0
    trust = TRUST * sum(part.foreseen_seconds for part in parts) if measured else 0.0
    everything = _factor(parts, 1.0 if measured else None, trust)
    if everything is None:
        return None
    total = 0.0
    for part in parts:
        if part.left_of_foreseen:
            factor: float | None = everything
            alike = [other for other in parts if other.checkpoint == part.checkpoint]
            of_task = [other for other in alike if other.task == part.task]
            for near, further in ((alike, parts), (of_task, alike), ([part], of_task)):
                if len(near) < len(further):  # else it is the same that was seen, and would count twice
                    factor = _factor(near, factor, trust)
            total += max(0.0, part.left_of_foreseen * (factor or 0.0) - part.begun_seconds)
    return total


def _factor(parts: Sequence[Part], before: float | None, trust: float) -> float | None:
    """Seconds seen over seconds foreseen; `before` counts as if `trust` foreseen seconds of it had been seen."""
    foreseen, seen = sum(part.seen_of_foreseen for part in parts), sum(part.done_seconds for part in parts)
    if foreseen <= 0 or seen <= 0:
        return before
    return (seen + trust * (before or 0.0)) / (foreseen + trust)


def proportion(rows: int, length_tokens: int) -> float:
    """What to take for `foreseen_seconds` where nothing is known but lengths: linear layers grow with the tokens, attention with their
    square."""
    return rows * max(1, length_tokens) * (1 + length_tokens / _SQUARE_FROM_TOKENS)


def row_proportion(prompt_tokens: int, budget: int) -> float:
    """What a row takes in proportion to others, where nothing was measured: its prompt, and a pass a new token."""
    return proportion(1, prompt_tokens) + _PASS_AS_TOKENS * budget
