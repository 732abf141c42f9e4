"""Prompts equal the reference's, with and without background."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.tasks.babilong.context import mix
from ropepp_eval.tasks.babilong.prompts import task_prompt, task_prompts
from ropepp_eval.tokens.tokenizer import load_tokenizer


def golden_rows(reference_tasks: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (reference_tasks / "babilong" / name).read_text("utf-8").split("\n") if line]


def test_there_are_twenty_tasks() -> None:
    assert list(task_prompts()) == [f"qa{number}" for number in range(1, 21)]


def test_prompts_without_background_equal_the_reference(reference_tasks: Path) -> None:
    rows = golden_rows(reference_tasks, "rows_0k.jsonl")
    assert len(rows) == 40
    for row in rows:
        context = mix(tuple(row["facts"]), [], (0,) * len(row["facts"]))
        assert context.text == row["input"]
        assert task_prompt(row["task"]).fill(context.text, row["question"]) == row["prompt"]


def test_parts_that_are_left_out_leave_their_newlines_as_in_the_reference(reference_tasks: Path) -> None:
    inputs = {row["task"]: row for row in golden_rows(reference_tasks, "rows_0k.jsonl") if row["question_number"] == 0}
    cases = golden_rows(reference_tasks, "prompt_variants.jsonl")
    assert len(cases) == 19
    for case in cases:
        parts = ("instruction", "examples", "post_prompt")
        left_out = {part: "" for part in parts if not case[f"use_{part}"]}
        prompt = dataclasses.replace(task_prompt(case["task"]), **left_out)
        same = inputs[case["task"]]
        assert prompt.fill(case.get("input", same["input"]), case.get("question", same["question"])) == case["prompt"]


def test_the_same_choices_give_the_reference_prompt_with_background(reference_tasks: Path, gpt2_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(str(gpt2_tokenizer_dir))
    rows = golden_rows(reference_tasks, "rows_long.jsonl")
    assert len(rows) == 7
    for row in rows:
        sentences = [tokenizer.decode(ids).removeprefix(" ") for ids in row["background_token_ids"]]
        context = mix(tuple(row["facts"]), sentences, tuple(row["fact_positions"]))
        assert context.text.strip() == row.get("input_without_cleanup", row["input"])
        # one row was decoded with the tokenizer's clean-up on (`do n't` to `don't`), which we do not imitate
        text = row["input"] if "input_without_cleanup" in row else context.text
        prompt = task_prompt(row["task"]).fill(text, row["question"])
        assert prompt == row["prompt"]
        assert hashlib.sha256(prompt.encode()).hexdigest() == row["prompt_sha256"]
        assert tokenizer.count(prompt) == row["prompt_tokens"]


@pytest.mark.parametrize("task", ["qa10", "qa16", "qa20"])
def test_an_open_context_tag_in_the_examples_is_counted(task: str) -> None:
    assert task_prompt(task).contexts_before == 1
    assert task_prompt("qa1").contexts_before == 0
