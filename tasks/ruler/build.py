"""From a request to its rows: which family builds a task, and what a length that is too small is answered."""

from __future__ import annotations

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.synthetic.fitting import TooShort
from ropepp_eval.synthetic.rows import Row, RowRequest
from ropepp_eval.tasks.ruler.cwe import CweRows
from ropepp_eval.tasks.ruler.family import Family
from ropepp_eval.tasks.ruler.fwe import FweRows
from ropepp_eval.tasks.ruler.niah_rows import NiahRows
from ropepp_eval.tasks.ruler.qa import QaRows
from ropepp_eval.tasks.ruler.settings import settings
from ropepp_eval.tasks.ruler.vt import VtRows

_OTHERS: dict[str, type[Family]] = {"vt": VtRows, "cwe": CweRows, "fwe": FweRows, "qa_squad": QaRows, "qa_hotpotqa": QaRows}


def family_of(task: str) -> type[Family]:
    """The class that builds a task.

    Raises:
        UserError: RULER has no such task.
    """
    needles = settings("reference")["niah_tasks"]
    if task in needles:
        needle_rows: type[Family] = NiahRows
        return needle_rows
    if task not in _OTHERS:
        raise unknown_name("RULER task", task, [*needles, *_OTHERS], "`ropepp-eval tasks` lists them")
    found: type[Family] = _OTHERS[task]
    return found


def build_rows(request: RowRequest) -> list[Row]:
    """Rows `0 .. samples - 1` of a task.

    Raises:
        UserError: the length is too small (the message has the smallest that is enough for these rows), or a corpus is.
    """
    builder = family_of(request.task)(request)
    rows: list[Row] = []
    needed = 0
    available = builder.rows_available()
    for number in range(request.samples if available is None else min(request.samples, available)):
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
