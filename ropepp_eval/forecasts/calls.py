"""A piece of work as the calls of the model that it takes: what enters, what is behind it in the cache, what is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Read:
    """Tokens that enter the model at once."""

    tokens: int
    """Of each row."""
    rows: int = 1
    past_tokens: int = 0
    """Tokens before them in the cache."""
    masked: bool = False
    """Whether a mask says who sees whom, so that all scores are computed and not only those below the diagonal."""
    logits: int = 0
    """Places that go through the output projection."""
    capacity: int = 0
    """Tokens of all rows that the cache has room for; 0: no cache."""
    times: float = 1.0
    """How often: less than 1 for a share of the whole."""

    @property
    def context(self) -> int:
        """Tokens that the last one sees."""
        return self.past_tokens + self.tokens


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of generation: in each a token a row."""

    rows: float
    """Side by side; a mean where they come and go."""
    context: float
    """Tokens in the cache of a row, in the mean."""
    steps: float
    capacity: int = 0
    """As `Read.capacity`."""
    even: bool = False
    """Whether all rows are equally long, so that no mask is needed."""
    times: float = 1.0


Call = Read | Steps


def chunks(read: Read, chunk_tokens: int) -> Iterator[Read]:
    """A read in pieces of `chunk_tokens`, the last one with its logits: pieces behind the first need a mask."""
    for begin in range(0, read.tokens, chunk_tokens):
        tokens = min(chunk_tokens, read.tokens - begin)
        past = read.past_tokens + begin
        last = begin + tokens == read.tokens
        yield replace(
            read, tokens=tokens, past_tokens=past, masked=read.masked or past > 0, logits=read.logits if last else 0
        )


def scaled(calls: Iterable[Call], times: float) -> list[Call]:
    """The same calls so many times."""
    return [replace(call, times=call.times * times) for call in calls]
