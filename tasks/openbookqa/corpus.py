"""OpenBookQA's questions and facts: from the data folder, or generated stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ropepp_eval.data import DataFolder
from ropepp_eval.data.left_out import LeftOut
from ropepp_eval.data.text_files import numbered_json_lines, read_text
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Outside, checked
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
    files = data.files("openbookqa", _test_file(facts))
    if not files:
        return _stand_ins("test"), True
    return _read_questions(files[0], facts=facts)[0], False


def left_out_of(data: DataFolder, *, facts: bool) -> str:
    """Which test questions can't be asked, in words; empty where all can. Raises UserError as `load_questions`."""
    files = data.files("openbookqa", _test_file(facts))
    return _read_questions(files[0], facts=facts)[1] if files else ""


def _test_file(facts: bool) -> str:
    return "Additional/test_complete.jsonl" if facts else "Main/test.jsonl"


def load_library(data: DataFolder) -> Library:
    """The book, the crowd-sourced facts and the train questions.

    Raises:
        UserError: a file is missing, or a line is no question.
    """
    if data.root is None:
        records = stand_in_records()
        return Library(tuple(records["book"]), tuple(records["crowd"]), _stand_ins("train"))
    book = _read_facts(data.files("openbookqa", "Main/openbook.txt")[0])
    crowd = _read_facts(data.files("openbookqa", "Additional/crowdsourced-facts.txt")[0])
    train = _read_questions(data.files("openbookqa", "Additional/train_complete.jsonl")[0], facts=True)[0]
    known = {_normal(fact) for fact in book}
    return Library(book, tuple(fact for fact in crowd if _normal(fact) not in known), train)


class _Choice(Outside):
    text: str
    label: str


class _Stem(Outside):
    stem: str
    choices: Annotated[Items[_Choice], Field(min_length=1)]


class _Record(Outside):
    """A question in the data set's own schema."""

    id: str
    question: _Stem
    answerKey: str = ""
    fact1: str = ""


def question_of(content: Mapping[str, Any], where: str) -> Question | None:
    """The question of a record; None where it has no answer key.

    Raises:
        UserError: it is no question, or the answer key names no choice.
    """
    record = checked(content, _Record, where, advice="get the file anew")
    labels = [choice.label for choice in record.question.choices]
    key = record.answerKey.strip()
    if not key:
        return None
    if key not in labels:
        raise UserError(
            f"{where}: question {record.id!r} has answer key {key!r}, none of {inert(', '.join(labels))}; get the file anew"
        )
    return Question(
        name=record.id,
        stem=record.question.stem,
        choices=tuple(choice.text for choice in record.question.choices),
        gold=labels.index(key),
        fact=record.fact1,
    )


def _stand_ins(part: str) -> tuple[Question, ...]:
    return tuple(question for record in stand_in_records()[part] if (question := question_of(record, "stand-in")))


def _read_questions(path: Path, *, facts: bool) -> tuple[tuple[Question, ...], str]:
    """The questions that can be asked, and which can't."""
    left_out = LeftOut()
    kept = []
    for where, record in numbered_json_lines(path, dict[str, Any]):
        question = question_of(record, where)
        if question is None:
            left_out.add(record["id"], "without an answer key")
        elif facts and not question.fact.strip():
            left_out.add(question.name, "without its fact")
        else:
            kept.append(question)
    left_out.check(len(kept), [path])
    return tuple(kept), left_out.in_words(len(kept))


def _read_facts(path: Path) -> tuple[str, ...]:
    """One fact a line; the book's lines stand in double quotes."""
    lines = (line.strip() for line in read_text(path).split("\n"))
    return tuple(line[1:-1] if line.startswith('"') and line.endswith('"') else line for line in lines if line)


def _normal(fact: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in fact.lower()).split())
