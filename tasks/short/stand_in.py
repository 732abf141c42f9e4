"""Generated records that stand in for the short tasks where no data folder is named: invented people, their towns and teachers."""

from __future__ import annotations

import functools
from typing import Any

from ropepp_eval.rows.ranking import Record
from ropepp_eval.streams import private_stream
from ropepp_eval.text.invented_questions import Article, articles

_COUNT = 200


@functools.lru_cache(maxsize=8)
def stand_in_records(task: str) -> tuple[Record, ...]:
    """Records of one task, each about where an invented person lives."""
    towns = [one.town for one in articles(_COUNT)]
    return tuple(_record(task, number, one, towns) for number, one in enumerate(articles(_COUNT)))


def _record(task: str, number: int, one: Article, towns: list[str]) -> Record:
    stream = private_stream("short stand-in", task, number)
    count = {"short_piqa": 2, "short_winogrande": 2, "short_siqa": 3}.get(task, 4)
    choices = [one.town, *stream.sample([town for town in towns if town != one.town], count - 1)]
    stream.shuffle(choices)
    gold, name = choices.index(one.town), f"stand-in-{number}"
    question = f"Where does {one.person} live?"
    if task.startswith("short_truthfulqa"):
        wrong = tuple(f"{one.person} lives in the town of {town}." for town in choices if town != one.town)
        right = (f"{one.person} lives in the town of {one.town}.",)
        return Record(name=name, fields={"question": question, "reference": ""}, gold=None, references=right, wrong=wrong)
    fields, first = _columns(task, one, question, choices)
    return Record(name=name, fields=fields, gold=chr(ord(first) + gold))


def _columns(task: str, one: Article, question: str, choices: list[str]) -> tuple[dict[str, Any], str]:
    """The task's columns, and the label of its first choice."""
    if task == "short_piqa":
        return {"goal": f"visit {one.person}", "sol1": f"go to {choices[0]}", "sol2": f"go to {choices[1]}"}, "0"
    if task == "short_hellaswag":
        return {"ctx": f"{one.home} So {one.person} is at home", **_named("ABCD", [f"in {c}." for c in choices])}, "0"
    if task == "short_winogrande":
        sentence = f"{one.home} One finds {one.person} in _."
        own = {"prompt": sentence, "only_option1": choices[0], "only_option2": choices[1]}
        return {**own, **_named(["opt1", "opt2"], [sentence.replace("_", choice) for choice in choices])}, "1"
    if task == "short_siqa":
        return {"context": one.home, "question": question, **_named(["answerA", "answerB", "answerC"], choices)}, "1"
    if task == "short_arc_easy":
        return {"question": question, **_named(["textA", "textB", "textC", "textD"], choices)}, "A"
    return {"question": f"{one.home} {question}", **_named("ABCD", choices)}, "A"


def _named(names: list[str] | str, values: list[str]) -> dict[str, str]:
    return dict(zip(names, values, strict=True))
