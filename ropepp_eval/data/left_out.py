"""Questions of a corpus that can't be asked: they are left out, counted and named, never a row that can only score 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

NOTE = "left_out"
"""Field of a row's details that says which questions of its corpus can't be asked."""
_NAMED = 3
_LONGEST_NAME = 40


@dataclass
class LeftOut:
    """What was left out while a corpus was read."""

    names: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the questions, by their ids."""

    def add(self, name: str, reason: str) -> None:
        """Count a question."""
        self.names.setdefault(reason, []).append(inert(name)[:_LONGEST_NAME])

    def in_words(self, kept: int) -> str:
        """One line for the plan; empty where nothing was left out."""
        if not self.names:
            return ""
        count = sum(map(len, self.names.values()))
        reasons = [
            f"{len(names):,} {reason} ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
            for reason, names in self.names.items()
        ]
        return f"{count:,} of {count + kept:,} questions left out: {'; '.join(reasons)}"

    def check(self, kept: int, paths: list[Path] | tuple[Path, ...]) -> None:
        """Raise UserError where no question is kept."""
        if not kept:
            files = ", ".join(inert(path) for path in paths)
            reason = self.in_words(0) or "it holds no question with an answer"
            raise UserError(f"{files} has no question that can be asked ({reason}); put the original file there")


def noted(details: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    """A row's details with the word of what its corpus left out, where it left out something: so it stays with the row."""
    return {**details, NOTE: left_out} if left_out else dict(details)
