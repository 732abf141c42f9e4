"""Spans of tokens to score, and the windows of long texts as lm-eval and the paper's script cut them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int32]]
"""Token ids of one sequence."""


@dataclass(frozen=True, eq=False)
class Span:
    """Tokens of which the last are scored: `ids[first:]`, each predicted from all before it."""

    ids: Ids
    first: int
    """At least 1: the first token has nothing before it."""
    begin: int = 0
    """Number of `ids[0]` in its text, for windows."""

    @property
    def inputs(self) -> int:
        """Tokens that enter the model: the last one is only predicted."""
        return len(self.ids) - 1


def as_ids(ids: Sequence[int]) -> Ids:
    """Ids as an array. An id beyond 32 bits becomes -1, which no vocabulary has."""
    wide = np.asarray(ids, dtype=np.int64)
    return np.where(wide > np.iinfo(np.int32).max, -1, wide).astype(np.int32)


def common_prefix(a: Ids, b: Ids) -> int:
    """Number of equal tokens at the beginning."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def rolling_spans(ids: Ids, prefix: int, max_length: int) -> Iterator[Span]:
    """lm-eval's rolling windows: the first predicts `max_length` tokens after the prefix; later ones have full context and
    score only what is new."""
    done = min(max_length, len(ids))
    yield Span(np.concatenate([as_ids([prefix]), ids[:done]]), 1, -1)
    while done < len(ids):
        end = min(done + max_length, len(ids))
        begin = end - max_length - 1
        yield Span(ids[begin:end], done - begin, begin)
        done = end


def sliding_spans(ids: Ids, window: int, stride: int) -> Iterator[Span]:
    """Windows of at most `window` tokens that end every `stride`, each scoring its last `stride` tokens (one fewer where the
    window's first token is among them). The last ends with the text and still scores `stride` tokens."""
    for start in range(0, len(ids), stride):
        begin, end = max(0, start + stride - window), min(start + stride, len(ids))
        first = max(begin + 1, end - stride)
        if first < end:
            yield Span(ids[begin:end], first - begin, begin)
