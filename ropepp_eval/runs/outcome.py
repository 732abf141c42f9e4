"""How a run ended: how many rows failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ropepp_eval.inert import inert

_SHOWN = 3
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Outcome:
    """Counts over all rows of a plan."""

    rows: int
    failed: int
    reasons: tuple[str, ...]
    """The commonest reasons, with their counts."""

    @property
    def status(self) -> str:
        """`success`, or `error` where no row has a score: nothing was measured."""
        return "error" if self.failed == self.rows else "success"

    def lines(self) -> list[str]:
        """For people; empty where no row failed."""
        if not self.failed:
            return []
        counted = "all" if self.failed == self.rows else f"{self.failed:,} of"
        return [f"{counted} {self.rows:,} rows failed: {'; '.join(self.reasons)}"]


def outcome_of(records: Iterable[Mapping[str, Any]]) -> Outcome:
    """The outcome of a run with these records."""
    errors = [record["error"] for record in records]
    why = Counter(_reason(error) for error in errors if error is not None)
    reasons = [f"{count:,} in {reason}" for reason, count in why.most_common(_SHOWN)]
    if len(why) > _SHOWN:
        reasons.append(f"{len(why) - _SHOWN:,} other reasons")
    return Outcome(len(errors), sum(why.values()), tuple(reasons))


def _reason(error: Mapping[str, str]) -> str:
    return inert(f"{error['stage']} ({error['type']}: {error['message'].strip()})")[:_LONGEST_REASON]
