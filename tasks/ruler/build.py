"""From a request to its rows: which family builds a task, and what a length that is too small is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ropepp_eval.errors import UserError
from ropepp_eval.synthetic.fitting import TooShort
from ropepp_eval.synthetic.rows import Row, RowRequest
from ropepp_eval.tasks.ruler.niah_rows import NiahRows


class RowsOfTask(Protocol):
    """A family of tasks: builds single rows."""

    max_new_tokens: int
    """Generation budget."""

    def row(self, number: int) -> Row:
        """Row `number`; raises TooShort where it can't fit."""


def family_of(task: str) -> Callable[[RowRequest], RowsOfTask]:
    """The class that builds a task."""
    return NiahRows


def build_rows(request: RowRequest) -> list[Row]:
    """Rows `0 .. samples - 1` of a task.

    Raises:
        UserError: the length is too small (the message has the smallest that is enough for these rows), or a corpus is.
    """
    builder = family_of(request.task)(request)
    rows: list[Row] = []
    needed = 0
    for number in range(request.samples):
        try:
            rows.append(builder.row(number))
        except TooShort as short:
            needed = max(needed, short.needed_tokens + builder.max_new_tokens)
    if needed:
        raise UserError(
            f"task {request.task} does not fit {request.length_tokens} tokens: the smallest prompt and its budget of "
            f"{builder.max_new_tokens} new tokens need {needed}; ask for a length of {needed} or more"
        )
    return rows
