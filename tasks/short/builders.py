"""Rows of the short tasks."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RankingSettings, ranked_rows, written_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.short.readers import files_of, records_of


def question_rows(request: RowRequest) -> list[Row]:
    """Rows of a task whose choices are ranked.

    Raises:
        UserError: the protocol has none, a file is missing or wrong, or a text is longer than the length.
    """
    settings = protocol_settings("short", request.protocol, RankingSettings)
    return ranked_rows(request, records_of(request.data, request.task), settings)


def truth_rows(request: RowRequest) -> list[Row]:
    """Rows of TruthfulQA, whose answers are written. Raises UserError as `question_rows`."""
    settings = protocol_settings("short", request.protocol, RankingSettings)
    return written_rows(request, records_of(request.data, request.task), settings)


def files_read(request: RowRequest) -> list[Path]:
    """The data files that a request's rows are made from."""
    return [] if request.data.root is None else files_of(request.data, request.task)


question_rows.files_read = files_read  # type: ignore[attr-defined]  # the row cache asks for it
truth_rows.files_read = files_read  # type: ignore[attr-defined]
