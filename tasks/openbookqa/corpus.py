"""OpenBookQA's questions and facts: from the data folder, or generated stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.data.json_lines import read_json_lines
from ropepp_eval.errors import UserError
from ropepp_eval.tasks.openbookqa.stand_in import stand_in_records


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its choices."""

    name: str
    """The data set's own id."""
    stem: str
    choices: tuple[str, ...]
    gold: int
    fact: str = ""
    """The fact of the book behind it, where the file says it."""

    @property
    def statement(self) -> str:
        """The question finished by its right choice, as one line."""
        return f"{self.stem} {self.choices[self.gold]}"


@dataclass(frozen=True)
class Library:
    """Everything that can stand in a window beside a question."""

    book: tuple[str, ...]
    """The facts of the book (1,326)."""
    crowd: tuple[str, ...]
    """Crowd-sourced facts that are not in the book (5,161)."""
    train: tuple[Question, ...]
    """Questions of the train split, whose statements fill what facts can't."""


def load_questions(data: DataFolder, *, facts: bool) -> tuple[tuple[Question, ...], bool]:
    """The test questions in file order, and whether they are stand-ins.

    Without `facts` they come from `Main/test.jsonl` (what lm-eval reads), with them from `Additional/test_complete.jsonl`.

    Raises:
        UserError: a file is missing, or a line is no question.
    """
    name = "Additional/test_complete.jsonl" if facts else "Main/test.jsonl"
    files = data.files("openbookqa", name)
    if not files:
        return tuple(question_of(record, "stand-in") for record in stand_in_records()["test"]), True
    return _read_questions(files[0], facts=facts), False


def load_library(data: DataFolder) -> Library:
    """The book, the crowd-sourced facts and the train questions.

    Raises:
        UserError: a file is missing, or a line is no question.
    """
    if data.root is None:
        records = stand_in_records()
        train = tuple(question_of(record, "stand-in") for record in records["train"])
        return Library(tuple(records["book"]), tuple(records["crowd"]), train)
    book = _read_facts(data.files("openbookqa", "Main/openbook.txt")[0])
    crowd = _read_facts(data.files("openbookqa", "Additional/crowdsourced-facts.txt")[0])
    train = _read_questions(data.files("openbookqa", "Additional/train_complete.jsonl")[0], facts=True)
    known = {_normal(fact) for fact in book}
    return Library(book, tuple(fact for fact in crowd if _normal(fact) not in known), train)


def question_of(record: Mapping[str, Any], where: str) -> Question:
    """A question from a record of the data set's own schema.

    Raises:
        UserError: the answer key names no choice.
    """
    choices = record["question"]["choices"]
    labels = [choice["label"] for choice in choices]
    key = record["answerKey"].strip()
    if key not in labels:
        raise UserError(
            f"{where}: question {record['id']!r} has answer key {key!r}, none of {', '.join(labels)}; get the file anew"
        )
    return Question(
        name=record["id"],
        stem=record["question"]["stem"],
        choices=tuple(choice["text"] for choice in choices),
        gold=labels.index(key),
        fact=record.get("fact1", ""),
    )


def _read_questions(path: Path, *, facts: bool) -> tuple[Question, ...]:
    fields = ["id", "question", "answerKey", *(["fact1"] if facts else [])]
    return tuple(question_of(record, str(path)) for record in read_json_lines(path, fields))


def _read_facts(path: Path) -> tuple[str, ...]:
    """One fact a line; the book's lines stand in double quotes."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line[1:-1] if line.startswith('"') and line.endswith('"') else line for line in lines if line)


def _normal(fact: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in fact.lower()).split())
