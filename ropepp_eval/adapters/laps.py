"""Wall time in laps: what is shared out among requests that ran together adds up to the whole."""

from __future__ import annotations

import time


class Laps:
    """A clock whose laps leave no gap: each begins where the last one ended."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def end(self) -> float:
        """Seconds since the last lap ended; the next one begins."""
        before, self._since = self._since, time.perf_counter()
        return self._since - before
