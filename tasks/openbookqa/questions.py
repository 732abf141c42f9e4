"""`openbookqa`: the question alone, its choices ranked as the protocol says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ropepp_eval.data.left_out import noted
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.openbookqa.corpus import Question, left_out_of, load_questions
from ropepp_eval.tasks.openbookqa.settings import OpenBookSettings
from ropepp_eval.tasks.openbookqa.whole_text import whole_text_parts, whole_text_scores
from ropepp_eval.tokens.tokenizer import Tokenizer

Parts = tuple[str, tuple[str, ...], dict[str, Any]]
"""What a ranking asks the model: the prompt, a continuation for each choice, and details that its score needs."""


def question_rows(request: RowRequest) -> list[Row]:
    """Row i is question i of the test split; the length only has to hold it.

    Raises:
        UserError: a question is longer than the length.
    """
    ranking = protocol_settings("openbookqa", request.protocol, OpenBookSettings).ranking
    questions, stand_in = load_questions(request.data, facts=False)
    left_out = left_out_of(request.data, facts=False)
    rows = [
        _row(request, number, question, RANKINGS[ranking](question, request.tokenizer), ranking, stand_in, left_out)
        for number, question in enumerate(questions[: request.samples])
    ]
    longest = max((request.entering_tokens(row.prompt + choice) for row in rows for choice in row.choices), default=0)
    if longest > request.length_tokens:
        raise UserError(
            f"task {request.task}: its longest question has {longest} tokens, over the length of "
            f"{format_length(request.length_tokens)}; use {longest} or more"
        )
    return rows


def _row(
    request: RowRequest, number: int, question: Question, parts: Parts, ranking: str, stand_in: bool, left_out: str
) -> Row:
    prompt, choices, details = parts
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=request.tokenizer.count(prompt),
        choices=choices,
        gold=question.gold,
        stand_in=stand_in,
        details=noted({"question": question.name, "ranking": ranking, **details}, left_out),
    )


def continuation_parts(question: Question, tokenizer: Tokenizer) -> Parts:
    """lm-eval 0.4.13's `openbookqa`: the stem, then a blank and the text of a choice."""
    return question.stem, tuple(" " + choice for choice in question.choices), {}


RANKINGS: Mapping[str, Callable[[Question, Tokenizer], Parts]] = {
    "continuation": continuation_parts,
    "whole_text": whole_text_parts,
}
"""By the name in `protocols.yaml`."""


def continuation_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: the most likely choice is right; `acc_norm`: the same per character, the leading blank not counted."""
    log_likelihoods = [float(log_likelihood) for log_likelihood, _ in responses]
    characters = [len(choice.removeprefix(" ")) for choice in row.choices]
    per_character = [value / count for value, count in zip(log_likelihoods, characters, strict=True)]
    return {"acc": _is_best(log_likelihoods, row.gold), "acc_norm": _is_best(per_character, row.gold)}


def question_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Scores of a row by the ranking it was built for."""
    score = whole_text_scores if row.details["ranking"] == "whole_text" else continuation_scores
    return score(row, responses)


def _is_best(values: Sequence[float], gold: int | None) -> float:
    """1.0 where the first of the largest values is the gold one."""
    return float(values.index(max(values)) == gold)
