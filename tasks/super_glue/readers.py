"""SuperGLUE's files as OpenCompass 0.4.2 reads them: one function a file, from its path to the records of a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.data.text_files import numbered_json_lines
from ropepp_eval.outside import Items, Outside, checked
from ropepp_eval.rows.ranking import Record, Records, right_label

ENTAILMENT = ("entailment", "not_entailment")
BOOLEANS = "labels that are JSON booleans (OpenCompass 0.4.2 takes each of them for No; its own files hold texts)"


@dataclass(frozen=True)
class Part:
    """Where a part lies in the data folder, and how its file is read."""

    path: str
    """In the folder `SuperGLUE`."""
    read: Callable[[Path], Iterator[Record]]


def records_of(data: DataFolder, part: Part) -> Records:
    """The records of a part. Raises UserError where the file is missing, or a line is no record of it."""
    records = list(part.read(*files_of(data, part)))
    lost = any(isinstance(record.fields.get("label"), bool) for record in records)
    return Records(records=records, left_out=BOOLEANS if lost else "")


def files_of(data: DataFolder, part: Part) -> list[Path]:
    """The one file that a part is read from. Raises UserError where the data folder lacks it."""
    return data.files("SuperGLUE", part.path)[:1]


def _lines(path: Path, model: type[Outside]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line with its place and all of its columns, those that `model` names checked."""
    for where, content in numbered_json_lines(path, dict[str, Any]):
        checked(content, model, where, advice="get the file anew")
        yield where, content


class _Passage(Outside):
    question: str
    passage: str


class _Words(Outside):
    word: str
    sentence1: str
    sentence2: str


def yes_or_no(model: type[Outside]) -> Callable[[Path], Iterator[Record]]:
    """BoolQ and WiC: the answer is 1 where the label is the *text* `true`, and 0 wherever it is anything else, a JSON `true` too."""

    def read(path: Path) -> Iterator[Record]:
        for number, (where, content) in enumerate(_lines(path, model)):
            if "label" not in content:
                right_label(None, ("true", "false"), where)
            answer = int(content["label"] == "true" and isinstance(content["label"], str))
            yield Record(name=str(number), fields={**content, "answer": answer}, gold=str(answer))

    return read


class Pair(Outside):
    """A premise and what may follow from it."""

    premise: str
    hypothesis: str


class _Sentences(Outside):
    sentence1: str
    sentence2: str


class Alternatives(Outside):
    """A line of COPA."""

    premise: str
    choice1: str
    choice2: str
    question: str


def labelled(model: type[Outside], allowed: tuple[object, ...]) -> Callable[[Path], Iterator[Record]]:
    """Parts whose file says the label as the template does."""

    def read(path: Path) -> Iterator[Record]:
        for number, (where, content) in enumerate(_lines(path, model)):
            yield Record(name=str(number), fields=content, gold=right_label(content.get("label"), allowed, where))

    return read


class _Answer(Outside):
    text: str
    label: int


class _Asked(Outside):
    question: str
    answers: Items[_Answer]


class _Text(Outside):
    text: str
    questions: Items[_Asked]


class _ReadAndJudged(Outside):
    passage: _Text


def multirc(path: Path) -> Iterator[Record]:
    """A record for each answer of each question of each passage; accuracy is over these."""
    for where, content in numbered_json_lines(path, _ReadAndJudged):
        for number, asked in enumerate(content.passage.questions):
            for place, answer in enumerate(asked.answers):
                label = right_label(answer.label, (0, 1), where)
                columns = {
                    "text": content.passage.text,
                    "question": asked.question,
                    "answer": answer.text,
                    "label": answer.label,
                }
                yield Record(name=f"{where.rpartition(':')[2]}-{number}-{place}", fields=columns, gold=label)


class _Target(Outside):
    span1_index: int
    span1_text: str
    span2_index: int
    span2_text: str


class Pronoun(Outside):
    """A line of WSC, its label aside."""

    text: str
    target: _Target


def wsc(path: Path) -> Iterator[Record]:
    """The two spans are marked in the text, and the answer is a letter."""
    for number, (where, content) in enumerate(_lines(path, Pronoun)):
        target = checked(content["target"], _Target, where, advice="get the file anew")
        label = {"true": "A", "false": "B"}[right_label(content.get("label"), ("true", "false"), where)]
        columns = {
            "span1": target.span1_text,
            "span2": target.span2_text,
            "text": marked(content["text"], target),
            "label": label,
        }
        yield Record(name=str(number), fields=columns, gold=label)


def marked(text: str, target: _Target) -> str:
    """The text with `* span1 *` and `# span2 #` in the places of the words from each index on, as many as the span has.

    Words are what lies between single blanks. A word in both belongs to the first span; a span whose first word is not there, or
    belongs to the other, is not marked.
    """
    words = text.split(" ")
    spans = (("*", target.span1_index, target.span1_text), ("#", target.span2_index, target.span2_text))
    taken: dict[int, str | None] = {}
    for sign, begin, span in spans:
        for place in range(begin, begin + len(span.split(" "))):
            taken.setdefault(place, f"{sign} {span} {sign}" if place == begin else None)
    marks = (taken.get(place, word) for place, word in enumerate(words))
    return " ".join(word for word in marks if word is not None)


class _Span(Outside):
    text: str


class _Query(Outside):
    query: str
    answers: Items[_Span]


class _Article(Outside):
    text: str


class _Cloze(Outside):
    passage: _Article
    qas: Items[_Query]


def record(path: Path) -> Iterator[Record]:
    """A record for each query of each passage, the gap as four underscores."""
    for where, content in numbered_json_lines(path, _Cloze):
        for number, asked in enumerate(content.qas):
            columns = {
                "text": content.passage.text.replace("@highlight", ""),
                "question": asked.query.replace("@placeholder", "____"),
                "answers": "",
            }
            answers = tuple(answer.text for answer in asked.answers)
            yield Record(name=f"{where.rpartition(':')[2]}-{number}", fields=columns, gold=None, references=answers)


PARTS: Mapping[str, Part] = {
    "super_glue_boolq": Part("BoolQ/val.jsonl", yes_or_no(_Passage)),
    "super_glue_cb": Part("CB/val.jsonl", labelled(Pair, ("contradiction", "entailment", "neutral"))),
    "super_glue_copa": Part("COPA/val.jsonl", labelled(Alternatives, (0, 1))),
    "super_glue_multirc": Part("MultiRC/val.jsonl", multirc),
    "super_glue_record": Part("ReCoRD/val.jsonl", record),
    "super_glue_rte": Part("RTE/val.jsonl", labelled(Pair, ENTAILMENT)),
    "super_glue_wic": Part("WiC/val.jsonl", yes_or_no(_Words)),
    "super_glue_wsc": Part("WSC/val.jsonl", wsc),
    "super_glue_ax_b": Part("AX-b/AX-b.jsonl", labelled(_Sentences, ENTAILMENT)),
    "super_glue_ax_g": Part("AX-g/AX-g.jsonl", labelled(Pair, ENTAILMENT)),
}
"""By task."""
