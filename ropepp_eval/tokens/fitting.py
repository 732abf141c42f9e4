"""Fitting a length: the largest haystack whose prompt is within its budget, and windows filled from pieces that were counted alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.words import counted

LEAST_FILL = 0.97
_MOST_FITS = 8
Built = TypeVar("Built")
_SearchFunction = Callable[[int], int]
_ROUNDS = 6


class TooShort(Exception):
    """Even the smallest prompt of a row does not fit; `needed_tokens` would be enough for this row."""

    def __init__(self, needed_tokens: int) -> None:
        super().__init__(needed_tokens)
        self.needed_tokens = needed_tokens


def does_not_fit(
    task: str, length_tokens: int, *, row: int, needed_tokens: int, rows: int, all_fit_tokens: int, budget_tokens: int = 0
) -> LengthTooShort:
    """The error for a length that some rows of a cell are over.

    Args:
        row: number of the first that is.
        needed_tokens: what that row needs, its budget of `budget_tokens` included.
        rows: how many rows were asked for.
        all_fit_tokens: a length at which all of them fit.
    """
    budget = f" and its budget of {budget_tokens} new tokens need" if budget_tokens else " needs"
    fewer = f", or for --samples {row} or fewer" if row else ""
    return LengthTooShort(
        f"task {task} does not fit {length_tokens} tokens: row {row}{budget} {needed_tokens}, and all "
        f"{counted(rows, 'row')} asked for fit {all_fit_tokens}; ask for a length of {all_fit_tokens} or more{fewer}"
    )


def fitted_rows(task: str, length_tokens: int, rows: int, build: Callable[[int], Built]) -> list[Built]:
    """`build(number)` for the numbers below `rows`; what a row needs must not hang on the length.

    Raises:
        LengthTooShort: `build` raised `TooShort` for some of them.
    """
    built: list[Built] = []
    needed: dict[int, int] = {}
    for number in range(rows):
        try:
            built.append(build(number))
        except TooShort as short:
            needed[number] = short.needed_tokens
    if needed:
        row = min(needed)
        raise does_not_fit(
            task, length_tokens, row=row, needed_tokens=needed[row], rows=rows, all_fit_tokens=max(needed.values())
        )
    return built


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


@dataclass(frozen=True)
class Filling:
    """A text made for a given room."""

    text: str
    """What must fit: the prompt and the longest continuation that is scored after it."""
    pieces: tuple[str, ...]
    """The pieces of the corpus that it holds."""
    exhausted: bool
    """True where no piece was left over."""


def fill_window(
    task: str,
    length_tokens: int,
    count: Callable[[str], int],
    assemble: Callable[[int], Filling],
    *,
    smallest_piece_tokens: int,
) -> Filling:
    """The filling that holds 97-100 % of the length, never more.

    At lengths of a few hundred tokens it may lack the smallest piece, where that is over 3 % of the length.
    `assemble(room)` fills `room` tokens beside what every filling holds (the question), by counts of the pieces alone. These
    miss the real count by a few tokens where pieces meet, so each try corrects the room by what the last one missed.

    Raises:
        TooShort: the length does not hold the question alone.
        UserError: the corpus does not fill the length.
    """
    alone = count(assemble(0).text)
    if alone > length_tokens:
        raise TooShort(alone)
    least = min(LEAST_FILL * length_tokens, length_tokens - smallest_piece_tokens)
    room = length_tokens - alone
    for _ in range(_MOST_FITS):
        filling = assemble(room)
        total = count(filling.text)
        if least <= total <= length_tokens:
            return filling
        if total < length_tokens and filling.exhausted:
            raise UserError(
                f"task {task}: the whole corpus ({len(filling.pieces)} pieces) fills {total} of {length_tokens} tokens; "
                f"about {length_tokens - total} tokens of text are missing; use a larger corpus or a shorter length"
            )
        room += length_tokens - total - (total > length_tokens)  # after an overrun one less, so it can't come again
    raise ValueError(f"task {task}: {_MOST_FITS} fits did not fill {length_tokens} tokens; this is a bug in the task")


def longest_tail(text: str, room_tokens: int, count: Callable[[str], int]) -> str:
    """The longest end of `text` that begins at a word and holds at most `room_tokens`; empty where no word fits."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    low, high = 0, len(starts)  # what begins at starts[high] fits; `len(starts)` stands for nothing
    while low < high:
        middle = (low + high) // 2
        if count(text[starts[middle] :]) <= room_tokens:
            high = middle
        else:
            low = middle + 1
    return text[starts[high] :] if high < len(starts) else ""


def longest_head(text: str, room_tokens: int, count: Callable[[str], int]) -> str:
    """The longest beginning of `text` that ends with a word and holds at most `room_tokens`; empty where no word fits."""
    ends = [0, *(match.end() for match in re.finditer(r"\S+", text))]
    low, high = 0, len(ends) - 1  # what ends at ends[low] fits
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[: ends[middle]]) <= room_tokens:
            low = middle
        else:
            high = middle - 1
    return text[: ends[low]]
