"""How much haystack fits a length: the largest size whose prompt is within its budget, by bounded bisection."""

from __future__ import annotations

import functools
from collections.abc import Callable

_SearchFunction = Callable[[int], int]
_ROUNDS = 6


class TooShort(Exception):
    """Even the smallest prompt of a row does not fit; `needed_tokens` would be enough for this row."""

    def __init__(self, needed_tokens: int) -> None:
        super().__init__(needed_tokens)
        self.needed_tokens = needed_tokens


def largest_size(tokens_of: _SearchFunction, budget_tokens: int, smallest: int, largest: int) -> int | None:
    """The largest size in `smallest..largest` with `tokens_of(size) <= budget_tokens`, None where there is none.

    `tokens_of` must not fall as the size rises; it is asked about log2(largest - smallest) times.
    """
    if tokens_of(smallest) > budget_tokens:
        return None
    fits, over = smallest, largest + 1
    while over - fits > 1:
        middle = (fits + over) // 2
        if tokens_of(middle) <= budget_tokens:
            fits = middle
        else:
            over = middle
    return fits


def fit_size(
    estimate: _SearchFunction, count: _SearchFunction, budget_tokens: int, smallest: int, largest: int
) -> tuple[int, int]:
    """The largest size that fits, and the tokens of its prompt.

    The estimate proposes a size, the real count there corrects the estimate, and so on; where that does not settle
    in a few rounds, real counts alone are bisected.

    Args:
        estimate: tokens of the prompt at a size, added up from its units; cheap, and right up to where units meet.
        count: tokens of the rendered prompt at a size.
        budget_tokens: what the prompt may hold.

    Raises:
        TooShort: the smallest size is over the budget; it carries the prompt tokens of the smallest size.
    """
    count = functools.cache(count)
    off = 0
    for _ in range(_ROUNDS):
        size = largest_size(_shifted(estimate, off), budget_tokens, smallest, largest) or smallest
        error = count(size) - estimate(size)
        if error == off and count(size) <= budget_tokens:
            while off and size < largest and count(size + 1) <= budget_tokens:  # where units meet, tokens come and go
                size += 1
            return size, count(size)
        off = error
    found = largest_size(count, budget_tokens, smallest, largest)
    if found is None:
        raise TooShort(count(smallest))
    return found, count(found)


def _shifted(estimate: _SearchFunction, off: int) -> _SearchFunction:
    return lambda size: estimate(size) + off
