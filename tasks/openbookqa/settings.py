"""What a protocol may change in OpenBookQA."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OpenBookSettings:
    """One protocol of `protocols.yaml`."""

    ranking: str
    """How the four choices of `openbookqa` are compared: a key of `questions.RANKINGS`."""
