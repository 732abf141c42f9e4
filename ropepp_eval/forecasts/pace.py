"""How long work still takes: what was foreseen of its parts, corrected by what was seen of those that are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TRUST = 0.1
"""Share of the whole work that has to be seen before it counts as much as the forecast."""
HOPE, BLIND_HOPE = 5.0, 50.0
"""What is foreseen may take so many times as long before nobody waits any more: corrected by what was seen, and before anything was."""
BLIND_SECONDS = 3600.0
"""That anything may take before something was seen."""
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


class _Seen:
    """Of some parts: how many there are, what was foreseen of them, of that what is done, and the seconds it took."""

    def __init__(self) -> None:
        self.parts, self.foreseen, self.done, self.seconds = 0, 0.0, 0.0, 0.0

    def add(self, part: Part, sign: int) -> None:
        self.parts += sign
        self.foreseen += sign * part.foreseen_seconds
        self.done += sign * part.seen_of_foreseen
        self.seconds += sign * part.done_seconds


class Pace:
    """Parts by number, and how far what was seen goes from what was foreseen of them.

    A part goes as far from its forecast as what was seen of it, of its task on its checkpoint, of its checkpoint and of all: the nearer,
    the more it counts.
    """

    def __init__(self, parts: Mapping[int, Part], *, measured: bool) -> None:
        """
        Args:
            parts: of the whole work.
            measured: whether forecasts are seconds; else proportions, which say nothing before something is done.
        """
        self.measured = measured
        self._parts: dict[int, Part] = {}
        self._seen: dict[tuple[str, ...], _Seen] = {}
        for number, part in parts.items():
            self[number] = part

    def __getitem__(self, number: int) -> Part:
        return self._parts[number]

    def __setitem__(self, number: int, part: Part) -> None:
        if number in self._parts:
            self._add(self._parts[number], -1)
        self._parts[number] = part
        self._add(part, 1)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts.values())

    def _add(self, part: Part, sign: int) -> None:
        for scope in ((), (part.checkpoint,), (part.checkpoint, part.task)):
            self._seen.setdefault(scope, _Seen()).add(part, sign)

    def factor(self, number: int | None = None) -> float | None:
        """Seconds for each one that is foreseen: of a part, or of everything. None where nothing says so."""
        everything = self._seen.get((), _Seen())
        trust = TRUST * everything.foreseen if self.measured else 0.0
        found = _corrected(1.0 if self.measured else None, everything.done, everything.seconds, trust)
        if number is None:
            return found
        part, parts = self._parts[number], everything.parts
        for scope in ((part.checkpoint,), (part.checkpoint, part.task)):
            near = self._seen[scope]
            if near.parts < parts:  # else it is the same that was seen, and would count twice
                found, parts = _corrected(found, near.done, near.seconds, trust), near.parts
        return _corrected(found, part.seen_of_foreseen, part.done_seconds, trust) if parts > 1 else found

    @property
    def seconds_left(self) -> float | None:
        """Until all parts are done, one after the other."""
        total = 0.0
        for number, part in self._parts.items():
            if part.left_of_foreseen:
                factor = self.factor(number)
                if factor is None:
                    return None
                total += max(0.0, part.left_of_foreseen * factor - part.begun_seconds)
        return total

    def longest_silence(self, number: int, foreseen_seconds: float) -> float:
        """Seconds after which work of a part that was foreseen to take so long is no longer slow: whoever does it hangs."""
        factor = self.factor(number)
        return max(BLIND_SECONDS, BLIND_HOPE * foreseen_seconds) if factor is None else HOPE * factor * foreseen_seconds


def _corrected(before: float | None, foreseen: float, seen: float, trust: float) -> float | None:
    """Seconds seen over seconds foreseen; `before` counts as if `trust` foreseen seconds of it had been seen."""
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
