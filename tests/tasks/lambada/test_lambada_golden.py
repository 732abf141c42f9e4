"""LAMBADA against lm-eval 0.4.13's own samples, and against the arithmetic of the authors' perplexity script."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.lambada.last_word import last_word_rows, last_word_scores
from ropepp_eval.tasks.lambada.sliding import lambada_sliding_rows
from tests.tasks.conftest import MakeRequest, read_jsonl

Ask = Callable[[Row, str], list[Any]]


def test_rows_are_lm_evals_contexts_and_continuations(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path
) -> None:
    expected = read_jsonl(lm_eval_golden / "lambada_openai.jsonl")
    rows = last_word_rows(make_request("lambada", samples=len(expected), data=data_dir))
    assert [(row.prompt, row.choices) for row in rows] == [(e["context"], (e["continuation"],)) for e in expected]
    assert [row.prompt_tokens for row in rows] == [e["n_context_tokens"] for e in expected]


def test_scores_of_rows_and_aggregates_are_lm_evals(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path, ask: Ask
) -> None:
    expected = read_jsonl(lm_eval_golden / "lambada_openai.jsonl")
    rows = last_word_rows(make_request("lambada", samples=len(expected), data=data_dir))
    scores = [last_word_scores(row, ask(row, "loglikelihood")) for row in rows]
    for score, sample in zip(scores, expected, strict=True):
        assert score["perplexity"] == pytest.approx(sample["loglikelihood"], abs=1e-4, rel=0)
        assert score["acc"] == sample["acc"]
    aggregate = json.loads((lm_eval_golden / "aggregate.json").read_text())["results"]["lambada_openai"]
    assert sum(s["acc"] for s in scores) / len(scores) == aggregate["acc"]
    assert math.exp(-sum(s["perplexity"] for s in scores) / len(scores)) == pytest.approx(aggregate["perplexity"], rel=2e-5)


def test_the_sliding_text_is_the_authors_joined_text(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path
) -> None:
    golden = json.loads((lm_eval_golden / "sliding_window_ids.json").read_text())["lambada"]
    (row,) = lambada_sliding_rows(make_request("lambada_sliding", data=data_dir))
    assert hashlib.sha256(row.prompt.encode()).hexdigest() == golden["joined_sha256"]
    assert row.details["texts"] == golden["n_texts"]
    assert row.prompt_tokens == golden["n_tokens_all"]
