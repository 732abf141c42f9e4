"""What an adapter gives back for a request: the response, and the ledger that shows every token was read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Failure:
    """Why a request has no response. The other requests go on."""

    stage: str
    """`request` (it can't be asked), `budget` (too long), `ledger` (other tokens than the plan counted), `memory`, `model` (what came out is not finite), or `engine`
    (the vLLM engine died, or gave no scores)."""
    type: str
    message: str
    """One line: the thing, its value, what is allowed, what to do next."""


@dataclass(frozen=True)
class Answer:
    """One answered request."""

    response: Any
    """Text, (log-likelihood, is_greedy), log-likelihood, or a list of `Window`; None where `error` is set."""
    prompt_tokens: int
    """Tokens of the context that entered the model, or of the whole text for rolling and sliding windows."""
    new_tokens: int
    """Tokens scored or generated."""
    budget: int
    """Tokens that might have been generated; 0 for scoring."""
    finish: str | None
    """`stop`, `length`, `eos` or `scored`; None where `error` is set."""
    cut: int
    """Tokens cut from the prompt: 0 unless `truncate` was asked for and needed."""
    seconds: float
    """Time of this request; requests that ran together share theirs by their tokens."""
    prompt_sha256: str
    """Hash of the ids in `prompt_tokens`, see `hash_ids`."""
    error: Failure | None = None
    reasoning_tokens: int = 0
    """Of `new_tokens` those that a thinking model wrote before its answer."""


@dataclass(frozen=True)
class Window:
    """One window of a sliding-window request."""

    begin: int
    """Number of the window's first token in the text."""
    end: int
    """One past the number of its last token."""
    logprobs: tuple[float, ...]
    """Natural log-probabilities of its last tokens, in order."""


def hash_ids(ids: Sequence[int] | np.ndarray[Any, Any]) -> str:
    """sha256 of token ids as little-endian 32-bit integers, so that any language can repeat it."""
    return hashlib.sha256(np.asarray(ids, dtype="<i4").tobytes()).hexdigest()
