"""How fast a run really is: from what rows were estimated to cost to seconds, and how long silence may last."""

from __future__ import annotations

FACTOR = 5.0
"""Silence for so many times the expected time of all that a worker was asked is a hung worker."""
UNKNOWN_SECONDS = 3600.0
"""Patience before any row shows how fast the run is."""


class Pace:
    """Seconds a unit of cost, by checkpoint, from what was measured; and seconds a load."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._seconds: dict[str, float] = {}
        self._cost: dict[str, float] = {}
        self._loads: list[float] = []

    def loaded(self, seconds: float) -> None:
        self._loads.append(seconds)

    def answered(self, label: str, cost: float, seconds: float) -> None:
        """A worker needed so long for rows of that cost."""
        self._seconds[label] = self._seconds.get(label, 0.0) + seconds
        self._cost[label] = self._cost.get(label, 0.0) + cost

    @property
    def load_cost(self) -> float:
        """What a load takes, in units of cost; 0 before both are known."""
        cost, seconds = sum(self._cost.values()), sum(self._seconds.values())
        if not (self._loads and cost and seconds):
            return 0.0
        return sum(self._loads) / len(self._loads) * cost / seconds

    def patience(self, label: str, cost: float) -> float:
        """Seconds in which a row must come of a worker that was asked rows of that cost."""
        known = label if self._cost.get(label) else None
        whole = self._cost.get(known, 0.0) if known else sum(self._cost.values())
        if not whole:
            return max(self._patience, UNKNOWN_SECONDS)
        seconds = self._seconds[known] if known else sum(self._seconds.values())
        return max(self._patience, FACTOR * cost * seconds / whole)
