"""Rows of the short tasks."""

from __future__ import annotations

from ropepp_eval.rows.questions import Questions
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.short.readers import DATA_SETS, DataSet, files_of, records_of
from ropepp_eval.tasks.short.reference import REFERENCE, as_reference
from ropepp_eval.tasks.short.stand_in import stand_in_records

_QUESTIONS: Questions[DataSet] = Questions(
    benchmark="short", sources=DATA_SETS, reference_sources=REFERENCE, files_of=files_of, records_of=records_of,
    stand_in=stand_in_records, as_reference=as_reference,
)  # fmt: skip


def question_rows(request: RowRequest) -> list[Row]:
    """Rows of a task whose choices are ranked. Raises UserError as `Questions.chosen`."""
    return _QUESTIONS.chosen(request)


def truth_rows(request: RowRequest) -> list[Row]:
    """Rows of TruthfulQA, whose answers are written. Raises UserError as `Questions.chosen`."""
    return _QUESTIONS.written(request)


question_rows.files_read = _QUESTIONS.files_read  # type: ignore[attr-defined]  # the row cache asks for it
truth_rows.files_read = _QUESTIONS.files_read  # type: ignore[attr-defined]
