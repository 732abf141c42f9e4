"""`openbookqa` and `openbookqa_fact`: the question alone, or after its fact; its choices ranked as the protocol says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropepp_eval.data.left_out import noted
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RANKING, Record, Records, check_length, ranked_rows, ranking_scores
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.openbookqa.corpus import Question, left_out_of, load_questions
from ropepp_eval.tasks.openbookqa.settings import OpenBookSettings

LETTERS = "ABCD"


def question_rows(request: RowRequest) -> list[Row]:
    """Row i is question i of the test split; the length only has to hold it.

    Raises:
        UserError: a question is longer than the length, or the task is not of the protocol.
    """
    settings = protocol_settings("openbookqa", request.protocol, OpenBookSettings)
    facts = request.task == "openbookqa_fact"
    questions, stand_in = load_questions(request.data, facts=facts)
    left_out = left_out_of(request.data, facts=facts)
    if settings.ranking == RANKING:
        records = [_record(question, facts) for question in questions]
        return ranked_rows(request, Records(records=records, stand_in=stand_in, left_out=left_out), settings)
    if facts:
        settings.template(request.task)  # which says that there is none
    rows = [
        _row(request, number, question, stand_in, left_out) for number, question in enumerate(questions[: request.samples])
    ]
    check_length(
        request, max((request.entering_tokens(row.prompt + choice) for row in rows for choice in row.choices), default=0)
    )
    return rows


def _row(request: RowRequest, number: int, question: Question, stand_in: bool, left_out: str) -> Row:
    """lm-eval 0.4.13's `openbookqa`: the stem, then a blank and the text of a choice."""
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=question.stem,
        prompt_tokens=request.tokenizer.count(question.stem),
        choices=tuple(" " + choice for choice in question.choices),
        gold=question.gold,
        stand_in=stand_in,
        details=noted({"question": question.name, "ranking": "continuation"}, left_out),
    )


def _record(question: Question, facts: bool) -> Record:
    """OpenCompass's columns of a question.

    Raises:
        UserError: it has not four choices.
    """
    if len(question.choices) != len(LETTERS):
        raise UserError(
            f"openbookqa: question {inert(question.name)} has {len(question.choices)} choices; this protocol asks for 4; "
            "get the file anew"
        )
    gold = LETTERS[question.gold]
    fields = {
        **dict(zip(LETTERS, question.choices, strict=True)),
        "question_stem": question.stem,
        "answerKey": gold,
        **({"fact1": question.fact} if facts else {}),
    }
    return Record(name=question.name, fields=fields, gold=gold)


def continuation_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: the most likely choice is right; `acc_norm`: the same per character, the leading blank not counted."""
    log_likelihoods = [float(log_likelihood) for log_likelihood, _ in responses]
    characters = [len(choice.removeprefix(" ")) for choice in row.choices]
    per_character = [value / count for value, count in zip(log_likelihoods, characters, strict=True)]
    return {"acc": _is_best(log_likelihoods, row.gold), "acc_norm": _is_best(per_character, row.gold)}


def question_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Scores of a row by the ranking it was built for."""
    score = ranking_scores if row.details["ranking"] == RANKING else continuation_scores
    return score(row, responses)


def _is_best(values: Sequence[float], gold: int | None) -> float:
    """1.0 where the first of the largest values is the gold one."""
    return float(values.index(max(values)) == gold)
