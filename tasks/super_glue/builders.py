"""Rows of SuperGLUE's parts."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RankingSettings, ranked_rows, written_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.super_glue.readers import file_of, records_of


def part_rows(request: RowRequest) -> list[Row]:
    """Rows of a part whose labels are ranked.

    Raises:
        UserError: the protocol has none, the part's file is missing or wrong, or a text is longer than the length.
    """
    settings = protocol_settings("super_glue", request.protocol, RankingSettings)
    return ranked_rows(request, records_of(request.data, request.task), settings)


def record_rows(request: RowRequest) -> list[Row]:
    """Rows of ReCoRD, whose answers are written. Raises UserError as `part_rows`."""
    settings = protocol_settings("super_glue", request.protocol, RankingSettings)
    return written_rows(request, records_of(request.data, request.task), settings)


def files_read(request: RowRequest) -> list[Path]:
    """The data files that a request's rows are made from."""
    return [] if request.data.root is None else [file_of(request.data, request.task)]


part_rows.files_read = files_read  # type: ignore[attr-defined]  # the row cache asks for it
record_rows.files_read = files_read  # type: ignore[attr-defined]
