"""Perplexity ranking: a question is written out once for each label, and the text with the smallest mean loss is the answer.

This is OpenCompass 0.4.2's `PPLInferencer` over prompts of its `PromptTemplate`, at batch size 1, rebuilt from what it does. A task of
this kind is a template (YAML) and a function that reads the data set's records; all else is here. What is easily done otherwise:

- every token of the text is scored, the question's too, and the mean is over all tokens, the first included, which has no loss;
- fields are put in one after another in the order of the data set's columns, so that braces inside a field may be filled in turn;
- turns are joined by a newline, but for an empty turn after the first, which adds nothing;
- a text over the window loses its beginning, and the first of equal losses wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import Field

from ropepp_eval.data.left_out import noted
from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.outside import Items, Outside, checked
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer
from ropepp_eval.words import counted

CHOICE = "<choice>"
"""Stands in a template's turns where the label's own text goes."""
RANKING = "whole_text"
"""What `details.ranking` of these rows says."""
Kind = TypeVar("Kind", bound=Outside)


class Template(Outside):
    """How a task's records become texts."""

    subdivision: str
    """What OpenCompass calls the data set in a column of that name, which a field may ask for."""
    turns: Annotated[Items[str], Field(min_length=1)]
    choices: Annotated[dict[str, str], Field(default_factory=dict)]
    """By label, in the order in which ties are settled: what `<choice>` becomes. Empty for tasks that generate."""

    def texts(self, columns: Mapping[str, Any]) -> list[str]:
        """One text a label; the one text without a choice where there is no label."""
        return [
            joined_turns([filled(turn.replace(CHOICE, choice), columns) for turn in self.turns])
            for choice in self.choices.values() or [""]
        ]


@dataclass(frozen=True, kw_only=True)
class RankingSettings:
    """One protocol of a benchmark's `protocols.yaml`."""

    ranking: str = RANKING
    """How choices are compared: `whole_text` (here) or `continuation` (`rows/continuations.py`)."""
    templates: Mapping[str, Any] = field(default_factory=dict)
    """By task: the fields of a `Template`, or of a `Definition` where choices are continuations."""
    window_tokens: int = 0
    """The last so many tokens of a text are read, special tokens included."""
    max_new_tokens: int = 0
    """Generation budget of the tasks that generate."""

    def described(self, task: str, kind: type[Kind]) -> Kind:
        """What this protocol says of a task, as a `Template` or a `Definition`. Raises UserError where it has none."""
        if task not in self.templates:
            raise UserError(f"task {task} is not of this protocol; its other one is chosen with --protocol")
        return checked(self.templates[task], kind, f"template of {task}")

    def template(self, task: str) -> Template:
        """The template of a task. Raises UserError where this protocol has none."""
        return self.described(task, Template)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One question of a data set."""

    name: str
    """The data set's own id, or its number."""
    fields: Mapping[str, Any]
    """Columns in the data set's order, those that its loader adds among them."""
    gold: str | None
    """The right label; None where the file knows none, so that no answer is right."""
    references: tuple[str, ...] = ()
    """Right answers, for tasks that generate."""
    wrong: tuple[str, ...] = ()
    """Wrong answers, where the score asks for them."""
    options: tuple[str, ...] = ()
    """Its own choices, whose labels are their places from 0; empty where the task has the same for all."""
    right: tuple[int, ...] = ()
    """Places of all right options, where the score asks for more than the best one."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """The questions of a data set, in the order of its file."""

    records: Sequence[Record]
    stand_in: bool = False
    left_out: str = ""
    """What can't be asked, in words."""


def filled(text: str, columns: Mapping[str, Any]) -> str:
    """`text` with each `{column}` replaced, one column after another: what a column brings in is seen by those after it."""
    for name, value in columns.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def joined_turns(turns: Sequence[str]) -> str:
    """Turns on lines of their own; an empty one after the first leaves no line."""
    return "\n".join([turns[0], *(turn for turn in turns[1:] if turn)])


def columns_of(records: Sequence[Record], number: int, subdivision: str) -> dict[str, Any]:
    """Columns of one record in the data set's order, then the two that OpenCompass adds; `idx` is the row's number unless there is one."""
    names = dict.fromkeys(name for record in records for name in record.fields)
    own = {name: records[number].fields.get(name) for name in names}
    return {**own, "subdivision": subdivision} | ({} if "idx" in own else {"idx": number})


def ranked_rows(request: RowRequest, found: Records, settings: RankingSettings) -> list[Row]:
    """Row i asks record i; prompt and a choice together are a label's text.

    Raises:
        UserError: the protocol has no template for the task.
        LengthTooShort: a text is longer than the length.
    """
    template = settings.template(request.task)
    texts = [
        template.texts(columns_of(found.records, number, template.subdivision))
        for number in range(min(request.samples, len(found.records)))
    ]
    tokens = [[_read(request.tokenizer, text, settings.window_tokens) for text in row] for row in texts]
    check_length(request, max((len(ids) for row in tokens for ids in row), default=0))
    return [
        _row(request, number, found, template, row, ids) for number, (row, ids) in enumerate(zip(texts, tokens, strict=True))
    ]


def check_length(request: RowRequest, longest_tokens: int) -> None:
    """Raise LengthTooShort where the longest row of a task with fixed prompts does not fit."""
    if longest_tokens > request.length_tokens:
        raise LengthTooShort(
            f"task {request.task}: its longest question has {longest_tokens} tokens, over the length of "
            f"{format_length(request.length_tokens)}; use {longest_tokens} or more"
        )


def _read(tokenizer: Tokenizer, text: str, window_tokens: int) -> list[int]:
    """The ids of a text that are read."""
    return tokenizer.cut_left(text, tokenizer.prompt_ids(text), window_tokens)


def _row(
    request: RowRequest, number: int, found: Records, template: Template, texts: Sequence[str], ids: Sequence[Sequence[int]]
) -> Row:
    record, labels = found.records[number], list(template.choices)
    prompt = shared_words(texts)
    unscored = request.tokenizer.rules.eos
    details = {
        "id": record.name,
        "ranking": RANKING,
        "labels": labels,
        "tokens_of_choices": [sum(token != unscored for token in one) for one in ids],
    }
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=request.tokenizer.count(prompt),
        choices=tuple(text[len(prompt) :] for text in texts),
        gold=labels.index(record.gold) if record.gold in labels else None,
        window_tokens=max(len(one) for one in ids),
        stand_in=found.stand_in,
        details=noted(details, found.left_out),
    )


def shared_words(texts: Sequence[str]) -> str:
    """What all texts begin with, up to the end of a word; the last word is left to the choices."""
    low, high = min(texts), max(texts)
    length = next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    common = low[:length]
    return re.sub(r"\s+\S*$", "", common) if re.search(r"\s", common) else ""


def mean_losses(row: Row, responses: Sequence[tuple[float, bool]]) -> list[float]:
    """OpenCompass's `ppl` of each choice: the sum of token losses over the number of tokens, the unscored first included.

    (It is a mean loss, not its exponential; the name is OpenCompass's.) A text without any token has none, which counts as 0.
    """
    tokens = row.details["tokens_of_choices"]
    return [-float(log_likelihood) / max(count, 1) for (log_likelihood, _), count in zip(responses, tokens, strict=True)]


def ranking_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: the choice whose text has the smallest mean loss is the right one; the first of equals wins."""
    losses = mean_losses(row, responses)
    return {"acc": float(losses.index(min(losses)) == row.gold)}


def written_rows(request: RowRequest, found: Records, settings: RankingSettings) -> list[Row]:
    """Rows of a task that generates its answer: the template's text is the prompt, and the answers' column counts as empty.

    Raises:
        UserError: the protocol has no template for the task.
        LengthTooShort: a prompt and its budget are longer than the length.
    """
    template = settings.template(request.task)
    rows = []
    for number, record in enumerate(found.records[: request.samples]):
        (prompt,) = template.texts(columns_of(found.records, number, template.subdivision))
        row = Row(
            task=request.task,
            length_tokens=request.length_tokens,
            row=number,
            prompt=prompt,
            prompt_tokens=request.tokenizer.count(prompt),
            references=record.references,
            max_new_tokens=settings.max_new_tokens,
            stand_in=found.stand_in,
            details=noted({"id": record.name, **({"wrong": list(record.wrong)} if record.wrong else {})}, found.left_out),
        )
        rows.append(row)
    check_length(request, max((request.entering_tokens(row.prompt) + row.max_new_tokens for row in rows), default=0))
    return rows


def right_label(label: object, allowed: Sequence[object], where: str, field: str = "label") -> str:
    """The label as a text.

    Raises:
        UserError: it is none of those allowed, as type and value, or there are fewer than two to choose from.
    """
    if len(allowed) < 2:
        raise UserError(
            f"{where}: {counted(len(allowed), 'choice')} for {field}; it must be one of 2 or more; get the file anew"
        )
    if not any(type(label) is type(one) and label == one for one in allowed):
        names = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
        raise UserError(f"{where}: {field} is {inert(repr(label))[:80]}; it must be {names}; get the file anew")
    return str(label)
