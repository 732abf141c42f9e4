"""Choices ranked by the log-likelihood of what continues a prompt: lm-eval 0.4.13's `multiple_choice`, rebuilt from what it does.

A task of this kind is a definition (YAML) and a function that reads the data set's records; all else is here. What is easily done otherwise:

- one blank stands between prompt and choice, and none of it counts in the choice's length;
- `acc_norm` divides by characters, not by tokens; some tasks have none;
- where the place of the question is in the middle of a sentence (partial evaluation), each choice stands in the context and what follows it
  is scored: `details.read_characters` says how much of a choice is read only;
- the first of equal likelihoods wins;
- where several choices are right, the score is the share of all choices' probability that they hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from ropepp_eval.data.left_out import noted
from ropepp_eval.outside import Outside
from ropepp_eval.rows.ranking import RANKING, Record, Records, check_length, ranking_scores
from ropepp_eval.rows.row import Row, RowRequest

CONTINUATION = "continuation"
"""What `details.ranking` of these rows says."""
_FIELD = re.compile(r"\{(\w+)\}")


class Definition(Outside):
    """How a task's records become prompt and choices."""

    prompt: str
    choices: Annotated[dict[str, str], Field(default_factory=dict)]
    """By label, in order; empty where each record brings its own."""
    rest: str = ""
    """What follows a choice and is scored in its place; empty: the choice itself is."""
    normalised: bool = True
    """Whether `acc_norm` is one of its scores."""


def put_in(text: str, fields: Mapping[str, Any]) -> str:
    """`text` with each `{field}` replaced, once: braces that a field brings in stay."""
    return _FIELD.sub(lambda found: str(fields[found[1]]), text)


def continuation_rows(request: RowRequest, found: Records, definition: Definition) -> list[Row]:
    """Row i asks record i.

    Raises:
        LengthTooShort: a prompt with a choice is longer than the length.
    """
    rows = [
        _row(request, number, record, found, definition) for number, record in enumerate(found.records[: request.samples])
    ]
    check_length(
        request, max((request.entering_tokens(row.prompt + choice) for row in rows for choice in row.choices), default=0)
    )
    return rows


def _row(request: RowRequest, number: int, record: Record, found: Records, definition: Definition) -> Row:
    prompt = put_in(definition.prompt, record.fields)
    texts = record.options or tuple(put_in(choice, record.fields) for choice in definition.choices.values())
    labels = [str(place) for place in range(len(texts))] if record.options else list(definition.choices)
    details: dict[str, Any] = {"id": record.name, "ranking": CONTINUATION}
    if not definition.normalised:
        details["normalised"] = False
    if record.right:
        details["right"] = list(record.right)
    if definition.rest:
        details["read_characters"] = [len(text) for text in texts]
        choices = tuple(f"{text} {put_in(definition.rest, record.fields)}" for text in texts)
    else:
        choices = tuple(f" {text}" for text in texts)
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=request.tokenizer.count(prompt),
        choices=choices,
        gold=labels.index(record.gold) if record.gold in labels else None,
        stand_in=found.stand_in,
        details=noted(details, found.left_out),
    )


def continuation_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: the most likely choice is right, or how likely the right ones are together; `acc_norm`: the same as the first per character,
    the leading blank not counted."""
    log_likelihoods = [float(log_likelihood) for log_likelihood, _ in responses]
    right = row.details.get("right")
    if right is not None:
        return {"acc": _share(log_likelihoods, right)}
    accuracy = {"acc": _is_best(log_likelihoods, row.gold)}
    if not row.details.get("normalised", True):
        return accuracy
    characters = [len(choice.removeprefix(" ")) for choice in row.choices]
    per_character = [value / count if count else -math.inf for value, count in zip(log_likelihoods, characters, strict=True)]
    return {**accuracy, "acc_norm": _is_best(per_character, row.gold)}


def choice_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Scores of a row by the ranking it was built for."""
    score = ranking_scores if row.details["ranking"] == RANKING else continuation_scores
    return score(row, responses)


def _is_best(values: Sequence[float], gold: int | None) -> float:
    """1.0 where the first of the largest values is the gold one."""
    return float(values.index(max(values)) == gold)


def _share(log_likelihoods: Sequence[float], right: Sequence[int]) -> float:
    """Probability of the right choices among all, from differences to the likeliest, so that none is 0 where all are unlikely."""
    most = max(log_likelihoods)
    weights = [math.exp(value - most) for value in log_likelihoods]
    return math.fsum(weights[place] for place in right) / math.fsum(weights)
