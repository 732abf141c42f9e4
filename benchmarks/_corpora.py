"""A data folder of generated text in the forms of Table 2's corpora, for a machine that has none."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from ropepp_eval.data.conversions import hotpotqa_file, squad_file
from ropepp_eval.lengths import parse_length
from ropepp_eval.text.filler import filler_sentences

BABILONG_TASKS = 10
_WORDS_A_TOKEN = 0.4
"""Few enough for any tokenizer here: a published row is taken as it is, and must fit."""


def made_up_corpora(folder: Path, lengths: list[str]) -> Path:
    """Write essays, SQuAD, HotpotQA and BABILong's published rows, enough for these lengths."""
    longest = max(map(parse_length, lengths))
    texts = [" ".join(islice(filler_sentences("paragraph", number), 6)) for number in range(longest // 50)]
    questions = [_question(number, text) for number, text in enumerate(texts)]
    files = {
        "essays/made-up.txt": "\n\n".join(texts).encode(),
        "squad/made-up.json": squad_file(questions),
        "hotpotqa/made-up-dev.json": hotpotqa_file(
            [_with_distractors(place, questions) for place in range(len(texts) - 10)]
        ),
    }
    for length in lengths:
        facts = _long_text("Mary went to the hall. ", int(_WORDS_A_TOKEN * parse_length(length)))
        rows = json.dumps([{"input": facts, "question": "Where is Mary?", "target": "hall"}]).encode()
        files |= {f"babilong/data/qa{task}/{length}.json": rows for task in range(1, BABILONG_TASKS + 1)}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _question(number: int, text: str) -> dict[str, Any]:
    """In the columns of the hub's SQuAD table; HotpotQA's share some."""
    answer = text.split(maxsplit=1)[0]
    return {
        "id": f"made-up-{number}",
        "title": f"Made up {number}",
        "context": text,
        "question": f"With which word does text {number} begin?",
        "answers": {"text": [answer], "answer_start": [0]},
    }


def _with_distractors(place: int, questions: list[dict[str, Any]]) -> dict[str, Any]:
    """In the columns of the hub's HotpotQA table: the text that is asked for and nine others."""
    asked = questions[place]
    context = {
        "title": [one["title"] for one in questions[place : place + 10]],
        "sentences": [[one["context"]] for one in questions[place : place + 10]],
    }
    return {
        "id": asked["id"], "question": asked["question"], "answer": asked["answers"]["text"][0], "type": "bridge", "level": "easy",
        "context": context, "supporting_facts": {"title": [asked["title"]], "sent_id": [0]},
    }  # fmt: skip


def _long_text(begin: str, words: int) -> str:
    text, count = begin, len(begin.split())
    for sentence in filler_sentences("book", words):
        if count >= words:
            return text.strip()
        text, count = f"{text}{sentence} ", count + len(sentence.split())
    raise AssertionError("the filler has no end")
