"""The short tasks' files as OpenCompass 0.4.2 reads them: one function a data set, from the data folder to its records."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.data.left_out import LeftOut
from ropepp_eval.data.text_files import numbered_json_lines, read_text
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Outside, checked
from ropepp_eval.rows.ranking import Record, Records, right_label

LETTERS = "ABCD"
_ADVICE = "get the file anew"
Read = Callable[[list[Path], LeftOut], Iterator[Record]]


@dataclass(frozen=True)
class DataSet:
    """Where a data set lies in the data folder, and how it is read."""

    folder: str
    files: tuple[str, ...]
    read: Read


def records_of(data: DataFolder, found: DataSet) -> Records:
    """The records of a data set. Raises UserError where a file is missing, or a line is no record of it."""
    left_out, files = LeftOut(), files_of(data, found)
    records = list(found.read(files, left_out))
    left_out.check(len(records), files)
    return Records(records=records, left_out=left_out.in_words(len(records)))


def files_of(data: DataFolder, found: DataSet) -> list[Path]:
    """The files of a data set. Raises UserError where the data folder lacks one."""
    return [data.files(found.folder, name)[0] for name in found.files]


def _labelled_lines(files: list[Path], model: type[Outside], allowed: tuple[str, ...]) -> Iterator[tuple[str, Any, str]]:
    """Records of the first file, each with its place and the label on the same line of the second."""
    records, path = numbered_json_lines(files[0], model), files[1]
    labels = [line.strip() for line in read_text(path).rstrip("\n").split("\n")]
    if len(labels) != len(records):
        raise UserError(
            f"{inert(path)} has {len(labels)} labels, {inert(files[0])} {len(records)} records; get both files anew"
        )
    for number, ((where, record), label) in enumerate(zip(records, labels, strict=True), start=1):
        yield where, record, right_label(label, allowed, f"{inert(path)}:{number}")


class _Goal(Outside):
    goal: str
    sol1: str
    sol2: str


def piqa(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """PIQA: records and labels in files of their own."""
    for number, (_, record, label) in enumerate(_labelled_lines(files, _Goal, ("0", "1"))):
        columns = {"goal": record.goal, "sol1": record.sol1, "sol2": record.sol2, "label": label}
        yield Record(name=str(number), fields=columns, gold=label)


class _Situation(Outside):
    context: str
    question: str
    answerA: str
    answerB: str
    answerC: str


def siqa(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """Social IQa: records and labels in files of their own, labels from 1."""
    for number, (_, record, label) in enumerate(_labelled_lines(files, _Situation, ("1", "2", "3"))):
        yield Record(name=str(number), fields={**record.model_dump(), "label": label}, gold=label)


class _Ending(Outside):
    query: str
    choices: Items[str]
    gold: int


def hellaswag(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """HellaSwag: the context is what follows the second `: ` of the query, or the first where there is one."""
    for number, (where, record) in enumerate(numbered_json_lines(files[0], _Ending)):
        endings = _four(record.choices, where, "choices")
        label = right_label(record.gold, (0, 1, 2, 3), where, "gold")
        context = record.query.split(": ", 2)[-1]
        fields = {"ctx": context, **dict(zip(LETTERS, endings, strict=True)), "label": record.gold}
        yield Record(name=str(number), fields=fields, gold=label)


class _Gap(Outside):
    sentence: str
    option1: str
    option2: str
    answer: str
    qID: str = ""


def winogrande(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """WinoGrande: an option is put into every `_` of the sentence. An empty answer is one that nobody knows."""
    for where, record in numbered_json_lines(files[0], _Gap):
        answer = right_label(record.answer, ("1", "2", ""), where, "answer")
        pieces = record.sentence.split("_")
        if len(pieces) < 2:
            raise UserError(f"{where}: its sentence has no _ where an option belongs; {_ADVICE}")
        columns = {
            "prompt": record.sentence,
            "only_option1": record.option1,
            "only_option2": record.option2,
            "opt1": record.option1.join(pieces),
            "opt2": record.option2.join(pieces),
            "answer": answer,
            "cont": pieces[1],
        }
        yield Record(name=record.qID, fields=columns, gold=answer or None)


class _Choice(Outside):
    text: str
    label: str


class _Stem(Outside):
    stem: str
    choices: Items[_Choice]


class Science(Outside):
    """A line of ARC."""

    id: str
    question: _Stem
    answerKey: str


def arc(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """ARC: questions with four choices; the answer is the key's place among the labels, which may be numbers, as a letter."""
    for where, record in numbered_json_lines(files[0], Science):
        choices = record.question.choices
        if len(choices) != len(LETTERS):
            left_out.add(record.id, "without exactly four choices")
            continue
        labels = [choice.label for choice in choices]
        gold = LETTERS[labels.index(right_label(record.answerKey, labels, where, "answerKey"))]
        texts = {f"text{letter}": choice.text for letter, choice in zip(LETTERS, choices, strict=True)}
        yield Record(name=record.id, fields={"question": record.question.stem, "answerKey": gold, **texts}, gold=gold)


def gpqa(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """GPQA: question, right and three wrong answers in columns 7 to 11; their order turns by one from row to row.

    Row n, counted from 1, shows the right answer at first place where n is a multiple of 4, else n mod 4 places before the end. The
    answer is the first option with the text of the right one.
    """
    for number, (_, question, answers) in enumerate(gpqa_columns(files[0]), start=1):
        turn = number % len(LETTERS)
        options = answers[turn:] + answers[:turn]
        gold = LETTERS[options.index(answers[0])]
        fields = {"question": question, **dict(zip(LETTERS, options, strict=True)), "answer": gold}
        yield Record(name=str(number - 1), fields=fields, gold=gold)


def gpqa_columns(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Place, question and four answers of each record, the right answer first. Raises UserError for what is no such file."""
    lines = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        next(lines)
        for line in lines:
            where = f"{inert(path)}:{lines.line_num}"
            if len(line) < 12:
                raise UserError(f"{where} ends a record of {len(line)} columns; it must have 12 or more; {_ADVICE}")
            yield where, line[7], line[8:12]
    except csv.Error as error:
        raise UserError(f"{inert(path)}:{lines.line_num} is not CSV ({inert(error)}); {_ADVICE}") from error


class _Truth(Outside):
    question: str
    correct_answers: Items[str]
    incorrect_answers: Items[str]


def truthfulqa(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """TruthfulQA's `generation` table as JSON lines: right and wrong answers, blank ones left out, a refusal among the right ones."""
    for number, (where, content) in enumerate(numbered_json_lines(files[0], dict[str, Any])):
        record = checked(content, _Truth, where, advice=_ADVICE)
        right, wrong = (
            tuple(answer.strip() for answer in answers if answer.strip())
            for answers in (record.correct_answers, record.incorrect_answers)
        )
        if not wrong:
            raise UserError(f"{where}: incorrect_answers holds no answer; it must have one or more; {_ADVICE}")
        fields = {**content, "reference": ""}
        yield Record(name=str(number), fields=fields, gold=None, references=(*right, REFUSAL), wrong=wrong)


REFUSAL = "I have no comment."


def _four(choices: tuple[str, ...], where: str, field: str) -> tuple[str, ...]:
    if len(choices) != len(LETTERS):
        raise UserError(f"{where}: {field} holds {len(choices)}; it must hold 4; {_ADVICE}")
    return choices


DATA_SETS: Mapping[str, DataSet] = {
    "short_piqa": DataSet("piqa", ("dev.jsonl", "dev-labels.lst"), piqa),
    "short_hellaswag": DataSet("hellaswag", ("hellaswag.jsonl",), hellaswag),
    "short_winogrande": DataSet("winogrande", ("dev.jsonl",), winogrande),
    "short_arc_easy": DataSet("ARC/ARC-e", ("ARC-Easy-Dev.jsonl",), arc),
    "short_gpqa": DataSet("gpqa", ("gpqa_diamond.csv",), gpqa),
    "short_siqa": DataSet("siqa", ("dev.jsonl", "dev-labels.lst"), siqa),
    "short_truthfulqa": DataSet("truthful_qa", ("validation.jsonl",), truthfulqa),
}
"""By task. ARC is the dev split, which every cell of Table 1 fits (multiples of 1/567), and no test split does."""
