"""Rows of the short tasks."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.rows.continuations import Definition, continuation_rows
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RANKING, RankingSettings, Records, ranked_rows, written_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.short.readers import DATA_SETS, files_of, records_of
from ropepp_eval.tasks.short.reference import REFERENCE, as_reference
from ropepp_eval.tasks.short.stand_in import stand_in_records


def question_rows(request: RowRequest) -> list[Row]:
    """Rows of a task whose choices are ranked, as the protocol ranks them.

    Raises:
        UserError: the protocol has no such task, a file is missing or wrong, or a text is longer than the length.
    """
    settings = protocol_settings("short", request.protocol, RankingSettings)
    if settings.ranking == RANKING:
        settings.template(request.task)  # before its files are looked for
        return ranked_rows(request, _records(request), settings)
    definition = settings.described(request.task, Definition)
    return continuation_rows(request, _records(request), definition)


def truth_rows(request: RowRequest) -> list[Row]:
    """Rows of TruthfulQA, whose answers are written. Raises UserError as `question_rows`."""
    settings = protocol_settings("short", request.protocol, RankingSettings)
    settings.template(request.task)
    return written_rows(request, _records(request), settings)


def _records(request: RowRequest) -> Records:
    sets = REFERENCE if request.protocol == "reference" else DATA_SETS
    if request.data.root is not None:
        return records_of(request.data, sets[request.task])
    records = stand_in_records(request.task)
    if sets is REFERENCE:
        records = tuple(as_reference(request.task, record) for record in records)
    return Records(records=records, stand_in=True)


def files_read(request: RowRequest) -> list[Path]:
    """The data files that a request's rows are made from."""
    found = (REFERENCE if request.protocol == "reference" else DATA_SETS).get(request.task)
    return [] if request.data.root is None or found is None else files_of(request.data, found)


question_rows.files_read = files_read  # type: ignore[attr-defined]  # the row cache asks for it
truth_rows.files_read = files_read  # type: ignore[attr-defined]
