"""How an answer is compared with the target: the reference's rules, and one without their known errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.babilong.prompts import task_prompt

_DIRECTIONS = {"north": "n", "south": "s", "east": "e", "west": "w"}


def read_answer(output: str) -> str:
    """The part of an output that is compared: lower case, before the first full stop, `<context>` and `<example>`."""
    answer = output.lower()
    for end in (".", "<context>", "<example>"):
        answer = answer.split(end)[0]
    return answer


def labels_match(target: str, output: str, question: str, labels: Sequence[str]) -> bool:
    """The reference's comparison (`compare_answers` of its metrics, revision 7a6efee).

    Right if the target is the only label in the answer, labels of the question aside; a target of several parts
    (`milk,football`) is right if exactly its parts are in the answer, in any order. Labels are found as substrings, so `one`
    is found inside `none`.
    """
    answer, target = read_answer(output), target.lower()
    found = {label.lower() for label in labels if label.lower() in answer}
    found -= {label.lower() for label in labels if label.lower() in question.lower()}
    if "," in target and len(target) > 3:
        return found == set(target.split(","))
    return found == {target}


def substring_matches(target: str, output: str, question: str = "", labels: Sequence[str] = ()) -> bool:
    """The reference's older comparison, OpenCompass's too: the target stands somewhere in the answer."""
    return target.lower() in read_answer(output)


def words_match(target: str, output: str, question: str, labels: Sequence[str]) -> bool:
    """`labels_match` without its errors: labels are whole words, so `none` is no `one` and `know` no `no`.

    Besides: the answer also ends at `question`, which the reference means but never finds; directions (qa19) may have blanks
    between them or be written out (`south, east`), and one pair inside a longer path is not the answer.
    """
    answer, target = read_answer(output).split("question")[0], target.lower()
    known = {label.lower() for label in labels}
    if all(re.fullmatch("[nsew],[nsew]", label) for label in known):
        return _directions(answer) == target.split(",")
    found = {label for label in known if _has_word(answer, label)}
    found -= {label for label in known if _has_word(question.lower(), label)}
    return found == set(target.split(","))


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def _directions(answer: str) -> list[str]:
    """The path in an answer: all its direction words and letters, in order."""
    words = re.findall(r"\b(?:north|south|east|west|[nsew])\b", answer.replace("'s", ""))
    return [_DIRECTIONS.get(word, word) for word in words]


Rule = Callable[[str, str, str, Sequence[str]], bool]
RULES: dict[str, Rule] = {"labels": labels_match, "substring": substring_matches}


def accuracy_scores(row: Row, responses: list[Any]) -> dict[str, float]:
    """`accuracy` by the rule of the row's protocol, `accuracy_corrected` by `words_match`; 1.0 is right, 0.0 wrong."""
    target, output, question = row.references[0], str(responses[0]), str(row.details["question"])
    labels = task_prompt(row.task).labels
    rule = RULES[str(row.details["scoring"])]
    return {
        "accuracy": float(rule(target, output, question, labels)),
        "accuracy_corrected": float(words_match(target, output, question, labels)),
    }
