"""Rows of SuperGLUE's parts."""

from __future__ import annotations

from ropepp_eval.rows.questions import Questions
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.super_glue.readers import PARTS, Part, files_of, records_of
from ropepp_eval.tasks.super_glue.reference import REFERENCE, as_reference
from ropepp_eval.tasks.super_glue.stand_in import stand_in_records

_QUESTIONS: Questions[Part] = Questions(
    benchmark="super_glue", sources=PARTS, reference_sources=REFERENCE, files_of=files_of, records_of=records_of,
    stand_in=stand_in_records, as_reference=as_reference,
)  # fmt: skip


def part_rows(request: RowRequest) -> list[Row]:
    """Rows of a part whose labels are ranked. Raises UserError as `Questions.chosen`."""
    return _QUESTIONS.chosen(request)


def record_rows(request: RowRequest) -> list[Row]:
    """Rows of ReCoRD, whose answers are written. Raises UserError as `Questions.chosen`."""
    return _QUESTIONS.written(request)


part_rows.files_read = _QUESTIONS.files_read  # type: ignore[attr-defined]  # the row cache asks for it
record_rows.files_read = _QUESTIONS.files_read  # type: ignore[attr-defined]
