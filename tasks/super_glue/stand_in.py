"""Generated records that stand in for SuperGLUE's parts where no data folder is named: invented people, their towns and teachers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ropepp_eval.rows.ranking import Record
from ropepp_eval.text.invented_questions import Article, articles

_COUNT = 200


@functools.lru_cache(maxsize=16)
def stand_in_records(task: str) -> tuple[Record, ...]:
    """Records of one part; every other one is true."""
    people = articles(_COUNT)
    made = []
    for number, one in enumerate(people):
        true = number % 2 == 0
        fields, gold = _PARTS[task](one, people[number if true else (number + 1) % _COUNT].town, true)
        answers = (one.town,) if gold is None else ()
        made.append(Record(name=f"stand-in-{number}", fields=fields, gold=gold, references=answers))
    return tuple(made)


def _lives(person: str, town: str) -> str:
    return f"{person} lives in the town of {town}."


def _entails(first: str, second: str, right: str = "entailment", wrong: str = "not_entailment") -> _Maker:
    def make(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
        label = right if true else wrong
        return {first: one.home, second: _lives(one.person, town), "label": label}, label

    return make


def _boolq(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
    question = f"does {one.person.lower()} live in {town.lower()}"
    return {"question": question, "passage": one.home, "label": str(true).lower(), "answer": int(true)}, str(int(true))


def _copa(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
    stays, leaves = f"{one.person} has a house in {one.town}.", f"{one.person} has never been in {one.town}."
    choices = (stays, leaves) if true else (leaves, stays)
    label = 0 if true else 1
    fields = {"premise": _lives(one.person, one.town), "choice1": choices[0], "choice2": choices[1], "question": "cause"}
    return {**fields, "label": label}, str(label)


def _multirc(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
    fields = {"text": one.home, "question": f"Where does {one.person} live?", "answer": town, "label": int(true)}
    return fields, str(int(true))


def _record(one: Article, town: str, true: bool) -> tuple[dict[str, Any], None]:
    return {"text": one.home, "question": f"{one.person} is at home in ____", "answers": ""}, None


def _wic(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
    second = "He sat on the bank of the river." if true else "He brought his money to the bank."
    fields = {"word": "bank", "sentence1": f"In {one.town} boats lie along the bank.", "sentence2": second}
    return {**fields, "label": str(true).lower(), "answer": int(true)}, str(int(true))


def _wsc(one: Article, town: str, true: bool) -> tuple[dict[str, Any], str]:
    name = one.person if true else town
    text = f"* {name} * is named in a letter from {one.town if true else one.person}, since # it # is a place."
    label = "B" if true else "A"
    return {"span1": name, "span2": "it", "text": text, "label": label}, label


_Maker = Callable[[Article, str, bool], tuple[dict[str, Any], str | None]]
_PARTS: Mapping[str, _Maker] = {
    "super_glue_boolq": _boolq,
    "super_glue_cb": _entails("premise", "hypothesis", wrong="contradiction"),
    "super_glue_copa": _copa,
    "super_glue_multirc": _multirc,
    "super_glue_record": _record,
    "super_glue_rte": _entails("premise", "hypothesis"),
    "super_glue_wic": _wic,
    "super_glue_wsc": _wsc,
    "super_glue_ax_b": _entails("sentence1", "sentence2"),
    "super_glue_ax_g": _entails("premise", "hypothesis"),
}
"""By task: from an article, a town that is its person's own or another, and which of both, to columns and label."""
