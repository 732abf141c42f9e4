"""The short tasks' records as lm-eval 0.4.13's own tasks see them: one function a data set, from the data folder's files."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ropepp_eval.data.left_out import LeftOut
from ropepp_eval.data.text_files import numbered_json_lines
from ropepp_eval.errors import UserError
from ropepp_eval.outside import Items, Outside
from ropepp_eval.rows.ranking import Record, right_label
from ropepp_eval.tasks.short.readers import (
    LETTERS,
    DataSet,
    Science,
    gpqa_columns,
    piqa,
    siqa,
    winogrande,
)

_ADVICE = "get the file anew"


class _Scene(Outside):
    activity_label: str | None = None
    ctx_a: str | None = None
    ctx_b: str = ""
    endings: Items[str] = ()
    label: int | str | None = None
    query: str | None = None
    choices: Items[str] = ()
    gold: int | None = None


def hellaswag(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """HellaSwag: the hub's columns, cleaned as lm-eval cleans them, or `query`, `choices` and `gold`, which are cleaned already."""
    for number, (where, scene) in enumerate(numbered_json_lines(files[0], _Scene)):
        if scene.ctx_a is not None and scene.activity_label is not None:
            query = cleaned(f"{scene.activity_label}: {scene.ctx_a} {scene.ctx_b.capitalize()}")
            options, label = tuple(map(cleaned, scene.endings)), scene.label
        elif scene.query is not None:
            query, options, label = scene.query, scene.choices, scene.gold
        else:
            raise UserError(f"{where} has neither ctx_a and activity_label nor query; {_ADVICE}")
        gold = right_label(str(label), [str(place) for place in range(len(options))], where)
        yield Record(name=str(number), fields={"query": query}, options=options, gold=gold)


def cleaned(text: str) -> str:
    """Without the marks that WikiHow's pages left: ` [title]` ends a sentence, other brackets go with what is in them, and each two blanks
    become one."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def arc(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """ARC: questions with any number of choices."""
    for where, record in numbered_json_lines(files[0], Science):
        labels = [choice.label for choice in record.question.choices]
        gold = str(labels.index(right_label(record.answerKey, labels, where, "answerKey")))
        options = tuple(choice.text for choice in record.question.choices)
        yield Record(name=record.id, fields={"question": record.question.stem}, options=options, gold=gold)


def gpqa(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """GPQA: three wrong answers, then the right one, shuffled question after question by one stream that begins at lm-eval's seed of 0."""
    stream = random.Random(0)
    for number, (_, question, answers) in enumerate(gpqa_columns(files[0])):
        right, *wrong = map(_trimmed, answers)
        options = [*wrong, right]
        stream.shuffle(options)
        gold = LETTERS[options.index(right)]
        yield Record(name=str(number), fields={"question": question, **dict(zip(LETTERS, options, strict=True))}, gold=gold)


def _trimmed(text: str) -> str:
    return text.strip().replace(" [title]", ". ").replace("  ", " ") if text else " "


def gaps(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """WinoGrande: either name ends the beginning of the sentence, up to its first gap; the rest is scored."""
    for record in winogrande(files, left_out):
        yield gap(record)


def gap(record: Record) -> Record:
    """A record of the paper's protocol as this one sees it. A question without an answer is one that no choice is right for."""
    beginning, _, rest = record.fields["prompt"].partition("_")
    options = (record.fields["only_option1"], record.fields["only_option2"])
    gold = None if record.gold is None else str(int(record.gold) - 1)
    return Record(name=record.name, fields={"beginning": beginning, "rest": rest.strip()}, options=options, gold=gold)


class _Targets(Outside):
    choices: Items[str]
    labels: Items[int]


class _Question(Outside):
    question: str
    mc1_targets: _Targets
    mc2_targets: _Targets


def one_truth(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """TruthfulQA mc1: the first choice is the one that is right."""
    for number, (where, record) in enumerate(numbered_json_lines(files[0], _Question)):
        _places(record.mc1_targets, where, "mc1_targets")
        yield Record(name=str(number), fields={"question": record.question}, options=record.mc1_targets.choices, gold="0")


def some_truths(files: list[Path], left_out: LeftOut) -> Iterator[Record]:
    """TruthfulQA mc2: several choices are right."""
    for number, (where, record) in enumerate(numbered_json_lines(files[0], _Question)):
        targets = record.mc2_targets
        right = _places(targets, where, "mc2_targets")
        yield Record(name=str(number), fields={"question": record.question}, options=targets.choices, gold=None, right=right)


def _places(targets: _Targets, where: str, field: str) -> tuple[int, ...]:
    """Places of the right choices. Raises UserError where there is none, or not a label for each choice."""
    right = tuple(place for place, label in enumerate(targets.labels) if label == 1)
    if len(targets.labels) != len(targets.choices) or not right:
        raise UserError(
            f"{where}: {field} has {len(targets.choices)} choices, {len(targets.labels)} labels and {len(right)} of them 1; it must have "
            f"a label for each choice, one of them 1 or more; {_ADVICE}"
        )
    return right


def as_reference(task: str, record: Record) -> Record:
    """A stand-in record of the paper's protocol as this one's tasks see it."""
    fields = record.fields
    if task == "short_winogrande":
        return gap(record)
    if task.startswith("short_truthfulqa"):
        options = (*record.references, *record.wrong)
        one = task.endswith("mc1")
        return Record(
            name=record.name,
            fields=fields,
            options=options,
            gold="0" if one else None,
            right=() if one else tuple(range(len(record.references))),
        )
    if task == "short_hellaswag":
        return Record(
            name=record.name,
            fields={"query": fields["ctx"]},
            options=tuple(fields[letter] for letter in LETTERS),
            gold=record.gold,
        )
    if task == "short_arc_easy" and record.gold is not None:
        options = tuple(fields[f"text{letter}"] for letter in LETTERS)
        return Record(name=record.name, fields=fields, options=options, gold=str(LETTERS.index(record.gold)))
    return record


REFERENCE: Mapping[str, DataSet] = {
    "short_piqa": DataSet("piqa", ("dev.jsonl", "dev-labels.lst"), piqa),
    "short_hellaswag": DataSet("hellaswag", ("hellaswag.jsonl",), hellaswag),
    "short_winogrande": DataSet("winogrande", ("dev.jsonl",), gaps),
    "short_arc_easy": DataSet("ARC/ARC-e", ("ARC-Easy-Test.jsonl",), arc),
    "short_gpqa": DataSet("gpqa", ("gpqa_diamond.csv",), gpqa),
    "short_siqa": DataSet("siqa", ("dev.jsonl", "dev-labels.lst"), siqa),
    "short_truthfulqa_mc1": DataSet("truthful_qa", ("multiple_choice.jsonl",), one_truth),
    "short_truthfulqa_mc2": DataSet("truthful_qa", ("multiple_choice.jsonl",), some_truths),
}
"""By task. lm-eval asks ARC's test split, the paper's protocol its dev split."""
