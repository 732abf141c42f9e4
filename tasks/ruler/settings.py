"""`protocols.yaml` as the builders read it: what the reference and the paper say, as data."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@functools.lru_cache(maxsize=4)
def settings(protocol: str) -> dict[str, Any]:
    """Everything `protocols.yaml` says for a protocol: its own entries, and the common ones."""
    content = yaml.safe_load(Path(__file__).with_name("protocols.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["common"] | content[protocol]
    return found


@dataclass(frozen=True, kw_only=True)
class NiahTask:
    """One needle-in-a-haystack task."""

    haystack: str
    """`noise` (one sentence again and again), `essay` or `needle` (further needles)."""
    key_type: str
    """`words` (adjective-noun) or `uuids`."""
    value_type: str
    """`numbers` (seven digits) or `uuids`."""
    keys: int
    """Keys with a needle in the haystack."""
    values: int
    """Needles a key."""
    queries: int
    """Keys that are asked for."""


def niah_task(task: str, protocol: str) -> NiahTask:
    """The needle task of a name."""
    return NiahTask(**settings(protocol)["niah_tasks"][task])
