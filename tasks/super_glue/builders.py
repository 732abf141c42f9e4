"""Rows of SuperGLUE's parts."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.rows.continuations import Definition, continuation_rows
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RANKING, RankingSettings, Records, ranked_rows, written_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.super_glue.readers import PARTS, file_of, records_of
from ropepp_eval.tasks.super_glue.reference import REFERENCE, as_reference
from ropepp_eval.tasks.super_glue.stand_in import stand_in_records


def part_rows(request: RowRequest) -> list[Row]:
    """Rows of a part whose labels are ranked, as the protocol ranks them.

    Raises:
        UserError: the protocol has no such part, its file is missing or wrong, or a text is longer than the length.
    """
    settings = protocol_settings("super_glue", request.protocol, RankingSettings)
    if settings.ranking == RANKING:
        settings.template(request.task)  # before its file is looked for
        return ranked_rows(request, _records(request), settings)
    definition = settings.described(request.task, Definition)
    return continuation_rows(request, _records(request), definition)


def record_rows(request: RowRequest) -> list[Row]:
    """Rows of ReCoRD, whose answers are written. Raises UserError as `part_rows`."""
    settings = protocol_settings("super_glue", request.protocol, RankingSettings)
    settings.template(request.task)
    return written_rows(request, _records(request), settings)


def _records(request: RowRequest) -> Records:
    parts = REFERENCE if request.protocol == "reference" else PARTS
    if request.data.root is not None:
        return records_of(request.data, parts[request.task])
    records = stand_in_records(request.task)
    if parts is REFERENCE:
        records = tuple(as_reference(request.task, record) for record in records)
    return Records(records=records, stand_in=True)


def files_read(request: RowRequest) -> list[Path]:
    """The data files that a request's rows are made from."""
    part = (REFERENCE if request.protocol == "reference" else PARTS).get(request.task)
    return [] if request.data.root is None or part is None else [file_of(request.data, part)]


part_rows.files_read = files_read  # type: ignore[attr-defined]  # the row cache asks for it
record_rows.files_read = files_read  # type: ignore[attr-defined]
