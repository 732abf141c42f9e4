"""A stored record for tests that need one, whatever is in it."""

from __future__ import annotations

from typing import Any


def record(key: str, error: Any = None, **changes: Any) -> dict[str, Any]:
    """A record of one niah_single_1 row."""
    return {
        "format": 2, "key": key, "checkpoint": "a", "checkpoint_sha256": "0" * 64, "position": "rope", "benchmark": "ruler",
        "task": "niah_single_1", "length_tokens": 4096, "protocol": "reference", "seed": 42, "tokenizer_sha256": "1" * 64, "row": 0,
        "row_sha256": "2" * 64, "prompt_tokens": 3900, "new_tokens": 5, "budget": 128, "finish": "stop", "cut": False, "seconds": 0.5,
        "prompt_sha256": "3" * 64, "references": ["7"], "responses": ["ä\u2028\ud800 7"],
        "scores": None if error else {"string_match": 1.0}, "stand_in": False, "cluster": "", "details": {"depth": 50.0},
        "error": error,
    } | changes  # fmt: skip
