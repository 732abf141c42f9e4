"""From the hub's tables to the original file formats, which is what the tasks read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

Record = dict[str, Any]


def wikitext_file(records: Iterable[Record]) -> bytes:
    """`wiki.*.raw`: the hub strips the blank of empty lines (`" \\n"` is `""` there) and nothing else."""
    return "".join(record["text"] or " \n" for record in records).encode("utf-8")


def openbookqa_file(records: Iterable[Record]) -> bytes:
    """`Main/*.jsonl` and `Additional/*_complete.jsonl`: question and choices are nested, one object a line."""
    return "".join(json.dumps(_openbookqa_question(record)) + "\n" for record in records).encode("utf-8")


def _openbookqa_question(record: Record) -> Record:
    choices = record["choices"]
    pairs = zip(choices["text"], choices["label"], strict=True)
    question: Record = {
        "id": record["id"],
        "question": {"stem": record["question_stem"], "choices": [{"text": text, "label": label} for text, label in pairs]},
    }
    if "fact1" in record:
        question |= {"fact1": record["fact1"]}
        question |= {name: f"{float(record[name]):.2f}" for name in ("humanScore", "clarity")}
        question |= {"turkIdAnonymized": record["turkIdAnonymized"]}
    return question | {"answerKey": record["answerKey"]}


def squad_file(records: Iterable[Record]) -> bytes:
    """`dev-v2.0.json`: articles hold paragraphs hold questions, in the table's order; plausible answers are not on the hub."""
    articles: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(record["answers"]["text"], record["answers"]["answer_start"], strict=True)
        ]
        question = {"question": record["question"], "id": record["id"], "answers": answers, "is_impossible": not answers}
        articles.setdefault(record["title"], {}).setdefault(record["context"], []).append(question)
    data = [
        {"title": title, "paragraphs": [{"qas": questions, "context": context} for context, questions in paragraphs.items()]}
        for title, paragraphs in articles.items()
    ]
    return json.dumps({"version": "v2.0", "data": data}).encode("utf-8")


def hotpotqa_file(records: Iterable[Record]) -> bytes:
    """`hotpot_dev_distractor_v1.json`: context and supporting facts as lists of pairs."""
    rows = []
    for record in records:
        context, supporting = record["context"], record["supporting_facts"]
        rows.append(
            {
                "_id": record["id"],
                "answer": record["answer"],
                "question": record["question"],
                "supporting_facts": [list(pair) for pair in zip(supporting["title"], supporting["sent_id"], strict=True)],
                "context": [list(pair) for pair in zip(context["title"], context["sentences"], strict=True)],
                "type": record["type"],
                "level": record["level"],
            }
        )
    return json.dumps(rows).encode("utf-8")


COLUMNS = {
    "copy": (),
    "wikitext": ("text",),
    "openbookqa": ("id", "question_stem", "choices.text", "choices.label", "answerKey"),
    "squad": ("title", "context", "question", "id", "answers.text", "answers.answer_start"),
    "hotpotqa": ("id", "question", "answer", "type", "level", "context.title", "context.sentences", "supporting_facts.title",
                 "supporting_facts.sent_id"),
}  # fmt: skip
"""What each conversion reads of a table; after a dot a field within a column."""


def missing_columns(conversion: str, record: Record) -> list[str]:
    """Columns that a table lacks, by one of its records."""
    return [name for name in COLUMNS[conversion] if not _has(record, name.split("."))]


def _has(value: Any, path: list[str]) -> bool:
    return not path or (isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:]))


CONVERSIONS: dict[str, Callable[[Iterable[Record]], bytes] | None] = {
    "copy": None,
    "wikitext": wikitext_file,
    "openbookqa": openbookqa_file,
    "squad": squad_file,
    "hotpotqa": hotpotqa_file,
}
"""How a source's tables become files; None keeps the file's bytes."""
