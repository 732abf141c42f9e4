"""Rows of BABILong: question i of a task with its facts among background sentences, fitted to the length."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ropepp_eval.data.babi import Question
from ropepp_eval.data.published_babilong import published_files
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.documents import documents_in_turn
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.workers import build_in_chunks
from ropepp_eval.tasks.babilong.cell import Cell, open_cell
from ropepp_eval.tasks.babilong.context import facts_alone, fitted_prompt
from ropepp_eval.tasks.babilong.places import supporting_places
from ropepp_eval.tasks.babilong.published import published_rows
from ropepp_eval.tasks.babilong.questions import QuestionSet, load_questions


def babilong_rows(request: RowRequest) -> list[Row]:
    """The published rows where the data folder holds them; else the questions that fit the length, every story once before any twice.

    At length 0 the facts stand alone; from the bAbI files these are the published rows, in the files' order.

    Raises:
        UserError: the length is too small for the task, or the books do not fill it.
    """
    cell = open_cell(request)
    rows = published_rows(cell)
    if rows is not None:
        return rows
    questions = load_questions(request.data, cell.task, request.seed)
    count = len(_asked(cell, questions, request.samples))
    if not count and request.samples:
        raise cell.too_short(questions.questions)
    return [row for chunk in build_in_chunks(request, count, build_chunk) for row in chunk]


def build_chunk(request: RowRequest, numbers: range) -> list[Row]:
    """The rows of these numbers, which the task has."""
    cell = open_cell(request)
    questions = load_questions(request.data, cell.task, request.seed)
    asked = _asked(cell, questions, numbers.stop)
    return [_row(cell, questions, number, asked[number]) for number in numbers]


def files_read(request: RowRequest) -> list[Path]:
    """The data files that a request's rows are made from."""
    task = request.task.removeprefix("babilong_")
    published = published_files(request.data, task, format_length(request.length_tokens))
    if published:
        return published
    books = request.data.find("gutenberg", "*.txt") if request.length_tokens else []
    return [*request.data.find("babi/en-10k", f"{task}_*_test.txt"), *books]


babilong_rows.files_read = files_read  # type: ignore[attr-defined]  # the row cache asks for it


def _asked(cell: Cell, questions: QuestionSet, samples: int) -> list[Question]:
    """The first `samples` questions that fit the length."""
    asked: Sequence[Question] = questions.questions
    if questions.stand_in or not cell.facts_only:
        asked = documents_in_turn(asked, lambda question: question.story)
    return list(itertools.islice(filter(cell.holds, asked), samples))


def _row(cell: Cell, questions: QuestionSet, number: int, question: Question) -> Row:
    prompt = facts_alone(cell, question) if cell.facts_only else fitted_prompt(cell, question)
    return Row(
        task=cell.request.task,
        length_tokens=cell.request.length_tokens,
        row=number,
        prompt=prompt.text,
        prompt_tokens=prompt.tokens,
        references=(question.answer,),
        max_new_tokens=cell.settings.max_new_tokens,
        stand_in=questions.stand_in or (not cell.facts_only and cell.background.books.stand_in),
        cluster=f"{questions.source}/{question.story}",
        details={
            "source": questions.source,
            "question": question.question,
            "question_number": question.number,
            "scoring": cell.settings.scoring,
            "facts": len(question.facts),
            "fact_positions": list(prompt.context.fact_positions),
            "background_sentences": prompt.context.background_sentences,
            **supporting_places(cell, prompt, question),
        },
    )
