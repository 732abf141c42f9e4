"""`openbookqa` and `openbookqa_fact`: the question alone, or after its fact; its choices ranked as the protocol says."""

from __future__ import annotations

from ropepp_eval.data.left_out import noted
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RANKING, RankingSettings, Record, Records, check_length, ranked_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.openbookqa.corpus import Question, left_out_of, load_questions

LETTERS = "ABCD"


def question_rows(request: RowRequest) -> list[Row]:
    """Row i is question i of the test split; the length only has to hold it.

    Raises:
        UserError: a question is longer than the length, or the task is not of the protocol.
    """
    settings = protocol_settings("openbookqa", request.protocol, RankingSettings)
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
