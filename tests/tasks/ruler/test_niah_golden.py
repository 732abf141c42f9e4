"""The same choices give RULER's own text to the byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.tasks.ruler.haystacks import Haystack, essay_haystack
from ropepp_eval.tasks.ruler.niah import Needle, NiahChoices, render_niah
from ropepp_eval.tasks.ruler.settings import NiahTask, niah_task, settings

NIAH_TASKS = sorted(settings("reference")["niah_tasks"])


def read_rows(path: Path, task: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["task"] == task]


def choices_of(row: dict[str, Any], task: NiahTask) -> NiahChoices:
    """The golden record in our form; a needle's key and value are read off its sentence."""
    golden = row["choices"]
    values = dict(zip(golden["keys"], golden["values"], strict=True))
    by_sentence = {
        settings("reference")["niah"]["needle"].format(value_type=task.value_type, key=key, value=value): (key, value)
        for key, several in values.items()
        for value in several
    }
    needles = [Needle(key=key, value=value) for key, value in (by_sentence[s] for s in golden["needles_in_order"])]
    queries = [golden["keys"][i] for i in golden.get("queried_key_indexes", [0])]
    return NiahChoices(
        needles=tuple(needles),
        queries=tuple(queries),
        answers=tuple(value for key in queries for value in values[key]),
        haystack_units=golden["haystack_units"],
        places=tuple(golden.get("insert_before_sentence") or golden["insert_indexes_descending"]),
        distractors=tuple(Needle(key=key, value=value) for key, value in golden.get("distractors", ())),
    )


def haystack_of(task: NiahTask, protocol: str, request: pytest.FixtureRequest) -> Haystack | None:
    if task.haystack != "essay":
        return None
    return essay_haystack(open_data(request.getfixturevalue("data_dir")), **settings(protocol)["essays"])


@pytest.mark.parametrize("name", NIAH_TASKS)
def test_golden_choices_give_the_reference_prompt(name: str, golden_tasks: Path, request: pytest.FixtureRequest) -> None:
    task = niah_task(name, "reference")
    haystack = haystack_of(task, "reference", request)
    rows = read_rows(golden_tasks / "ruler/rows.jsonl", name)
    assert len(rows) == 4
    for row in rows:
        choices = choices_of(row, task)
        prompt = render_niah(choices, task, settings("reference")["niah"], haystack)
        assert hashlib.sha256(prompt.text.encode()).hexdigest() == row["prompt_sha256"]
        assert sorted(choices.answers) == sorted(row["outputs"])
        for offset, needle in zip(prompt.needle_offsets, row["choices"]["needles_in_order"], strict=True):
            assert prompt.text.startswith(needle, offset)


def test_golden_choices_give_the_prompt_behind_the_papers_tables(golden_tasks: Path, request: pytest.FixtureRequest) -> None:
    task = niah_task("niah_single_2", "paper")
    haystack = haystack_of(task, "paper", request)
    rows = read_rows(golden_tasks / "opencompass/rows.jsonl", "niah_single_2")
    assert len(rows) == 2
    for row in rows:
        prompt = render_niah(choices_of(row, task), task, settings("paper")["niah"], haystack)
        assert hashlib.sha256((prompt.text + "\n\n").encode()).hexdigest() == row["model_input_sha256"]
