"""From a request to its rows: which family builds a task, and what a length that is too small is answered."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

from ropepp_eval.data.punkt import punkt_files
from ropepp_eval.errors import unknown_name
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.workers import build_in_chunks
from ropepp_eval.tasks.ruler.cwe import CweRows
from ropepp_eval.tasks.ruler.documents import corpus_files
from ropepp_eval.tasks.ruler.family import Family
from ropepp_eval.tasks.ruler.fwe import FweRows
from ropepp_eval.tasks.ruler.niah_rows import NiahRows
from ropepp_eval.tasks.ruler.qa import QaRows
from ropepp_eval.tasks.ruler.settings import settings
from ropepp_eval.tasks.ruler.vt import VtRows
from ropepp_eval.tokens.fitting import TooShort, does_not_fit

_OTHERS: dict[str, type[Family]] = {"vt": VtRows, "cwe": CweRows, "fwe": FweRows, "qa_squad": QaRows, "qa_hotpotqa": QaRows}

_CORPORA = ("qa_squad", "qa_hotpotqa")
_CHECK_EVERY = 250
"""Each such row is also counted whole, for real."""
_MOST_LENGTHS = 32


def family_of(task: str) -> type[Family]:
    """The class that builds a task.

    Raises:
        UserError: RULER has no such task.
    """
    needles = settings("reference")["niah_tasks"]
    if task in needles:
        return NiahRows
    if task not in _OTHERS:
        raise unknown_name("RULER task", task, [*needles, *_OTHERS], "`ropepp-eval tasks` lists them")
    return _OTHERS[task]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a cell, or why there are none."""

    rows: tuple[Row, ...]
    needed: dict[int, int]
    """Rows that do not fit the length, by number, and how many tokens would be enough for each."""
    counted_right: bool
    """False: row 0 shows that pieces do not add up with this tokenizer, and there are no rows."""


def build_rows(request: RowRequest) -> list[Row]:
    """Rows `0 .. samples - 1` of a task.

    Raises:
        LengthTooShort: the length is too small (the message names the first row over it and a length that is enough for all).
        UserError: a corpus is too small.
    """
    builder = family_of(request.task)(request)
    available = builder.rows_available()
    count = request.samples if available is None else min(request.samples, available)
    chunks = build_in_chunks(request, count, build_chunk)
    if not all(chunk.counted_right for chunk in chunks):
        chunks = build_in_chunks(request, count, functools.partial(build_chunk, whole=True))
    needed = {number: tokens for chunk in chunks for number, tokens in chunk.needed.items()}
    if needed:
        row = min(needed)
        raise does_not_fit(
            request.task,
            request.length_tokens,
            row=row,
            needed_tokens=needed[row],
            rows=count,
            all_fit_tokens=_length_for_all(request, count, max(needed.values())),
            budget_tokens=builder.max_new_tokens,
        )
    return [row for chunk in chunks for row in chunk.rows]


def _length_for_all(request: RowRequest, count: int, tokens: int) -> int:
    """A length from `tokens` on at which the first `count` rows fit: at another length a row draws other words."""
    for _ in range(_MOST_LENGTHS):
        chunks = build_in_chunks(replace(request, length_tokens=tokens), count, build_chunk)
        over = [needed for chunk in chunks for needed in chunk.needed.values()]
        if not over:
            break
        tokens = max(*over, tokens + 1)
    return tokens


def build_chunk(request: RowRequest, numbers: range, whole: bool = False) -> Chunk:
    """The rows of these numbers; with `whole`, each prompt is counted whole, never by pieces."""
    builder = _builder(request, whole)
    rows: list[Row] = []
    needed: dict[int, int] = {}
    for number in numbers:
        try:
            rows.append(builder.row(number))
        except TooShort as short:
            needed[number] = short.needed_tokens + builder.max_new_tokens + request.tokenizer.most_added_tokens
            continue
        if number % _CHECK_EVERY == 0 and not whole:
            real = request.tokenizer.count(rows[-1].prompt)
            if (
                real != rows[-1].prompt_tokens and number == 0
            ):  # row 0 alone decides: how many rows are asked for does not matter
                return Chunk((), {}, counted_right=False)
            if real != rows[-1].prompt_tokens:
                raise ValueError(
                    f"row {number} of {request.task} holds {real} tokens but was counted as {rows[-1].prompt_tokens}; "
                    "this is a bug in the task"
                )
    return Chunk(tuple(rows), needed, counted_right=True)


@functools.lru_cache(maxsize=2)
def _builder(request: RowRequest, whole: bool) -> Family:
    builder = family_of(request.task)(request)
    if whole:
        builder.use_real_counts()
    return builder


def files_read(request: RowRequest) -> list[Path]:
    """The files of the data folder that a task's rows are made from (the row cache hashes them)."""
    if request.data.root is None:
        return []
    if request.task in _CORPORA:
        return corpus_files(request.task, request.data)
    needles = settings(request.protocol)["niah_tasks"].get(request.task, {})
    if needles.get("haystack") != "essay":
        return []
    model = punkt_files(request.data) if settings(request.protocol)["essays"]["sentences"] == "punkt" else []
    return [*request.data.files("essays", "*.txt"), *model]


build_rows.files_read = files_read  # type: ignore[attr-defined]
