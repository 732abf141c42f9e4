"""Every task fills every length, and never more: GPT-2's tokenizer, the real corpora, each prompt counted whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import resolve_tasks
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest

TASKS = [
    entry.name for entry in resolve_tasks(["ruler", "babilong", "lambada_filled", "openbookqa_book", "openbookqa_nofact"])
]

LARGE_UNITS = {"vt": 32, "cwe": 64, "qa_squad": 160, "qa_hotpotqa": 160}
"""Tokens of what such a task can add at once: a line, a word as often as it comes, a document (a middling one: short ones fill up)."""


@pytest.mark.parametrize("length_tokens", [2048, 4096, 8192, 16384, 32768, 65536])
@pytest.mark.parametrize("task", TASKS)
def test_prompt_and_budget_fill_the_length(
    task: str, length_tokens: int, make_request: MakeRequest, data_dir: Path, gpt2_tokenizer: Tokenizer
) -> None:
    entry = resolve_tasks([task])[0]
    for row in frozen_rows(make_request(task, length_tokens, samples=2, data=data_dir), entry.build_rows()):
        longest_choice = max((gpt2_tokenizer.count(choice) for choice in row.choices), default=0)
        tokens = gpt2_tokenizer.count(row.prompt)
        assert row.prompt_tokens == tokens
        assert not row.stand_in
        filled = tokens + row.max_new_tokens + longest_choice
        short_by = LARGE_UNITS.get(task, 0)
        assert min(0.97 * length_tokens, length_tokens - short_by) <= filled <= length_tokens
