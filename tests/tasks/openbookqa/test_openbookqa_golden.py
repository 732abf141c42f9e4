"""OpenBookQA against lm-eval 0.4.13's own samples, and against OpenCompass 0.4.2's perplexity ranking."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.rows.continuations import choice_scores as question_scores
from ropepp_eval.rows.ranking import mean_losses
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.openbookqa.questions import LETTERS, question_rows
from tests.tasks.conftest import MakeRequest, read_jsonl

Ask = Callable[[Row, str], list[Any]]


def test_rows_are_lm_evals_contexts_and_continuations(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path
) -> None:
    expected = read_jsonl(lm_eval_golden / "openbookqa.jsonl")
    rows = question_rows(make_request("openbookqa", samples=len(expected), data=data_dir))
    for row, sample in zip(rows, expected, strict=True):
        assert row.prompt == sample["context"]
        assert list(row.choices) == [choice["continuation"] for choice in sample["choices"]]
        assert (row.gold, row.details["question"]) == (sample["gold"], sample["id"])


def test_scores_of_rows_and_aggregates_are_lm_evals(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path, ask: Ask
) -> None:
    expected = read_jsonl(lm_eval_golden / "openbookqa.jsonl")
    rows = question_rows(make_request("openbookqa", samples=len(expected), data=data_dir))
    totals = {"acc": 0.0, "acc_norm": 0.0}
    for row, sample in zip(rows, expected, strict=True):
        responses = ask(row, "multiple_choice")
        for (log_likelihood, _), choice in zip(responses, sample["choices"], strict=True):
            assert log_likelihood == pytest.approx(choice["loglikelihood"], abs=5e-4, rel=1e-6)
        scores = question_scores(row, responses)
        assert scores == {"acc": sample["acc"], "acc_norm": sample["acc_norm"]}
        totals = {name: totals[name] + scores[name] for name in totals}
    aggregate = json.loads((lm_eval_golden / "aggregate.json").read_text())["results"]["openbookqa"]
    assert {name: total / len(rows) for name, total in totals.items()} == aggregate


def test_the_papers_rows_and_perplexities_are_opencompasss(
    make_request: MakeRequest, data_dir: Path, reference_tasks: Path, ask: Ask
) -> None:
    samples = read_jsonl(reference_tasks / "opencompass" / "openbookqa.jsonl")
    expected = [sample for sample in samples if sample["task"] == "openbookqa"]
    rows = question_rows(make_request("openbookqa", samples=len(expected), protocol="paper", data=data_dir))
    for row, sample in zip(rows, expected, strict=True):
        assert {letter: row.prompt + choice for letter, choice in zip(LETTERS, row.choices, strict=True)} == sample[
            "model_inputs"
        ]
        assert dict(zip(LETTERS, row.details["tokens_of_choices"], strict=True)) == sample["n_tokens"]
        responses = ask(row, "multiple_choice")
        assert mean_losses(row, responses) == pytest.approx(list(sample["ppl"].values()), abs=1e-4)
        assert question_scores(row, responses) == {"acc": float(sample["correct"])}
        assert LETTERS[row.gold or 0] == sample["answer"]
