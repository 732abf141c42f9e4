"""Every score case of the reference and of the paper's evaluators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.ruler.scoring import clean_prediction, score_row, task_score


def cases(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def percent(scores: list[float]) -> float:
    """As the paper's evaluators report them together."""
    return round(100 * sum(scores) / len(scores), 2)


def test_every_reference_score_case_is_met(golden_tasks: Path) -> None:
    found = cases(golden_tasks / "ruler/score_cases.jsonl")
    assert len(found) == 81
    for case in found:
        predictions = [clean_prediction(text) for text in case["predictions"]]
        assert predictions == case["predictions_postprocessed"]
        assert task_score(case["metric"], case["predictions"], case["references"]) == case["expected_score"], case["note"]
        nulls = sum(not text for text in predictions)
        assert f"{nulls}/{len(predictions)}" == case["expected_nulls"]


def test_every_score_case_of_the_papers_evaluators_is_met(golden_tasks: Path) -> None:
    every = cases(golden_tasks / "opencompass/score_cases.jsonl")
    found = [case for case in every if not case["task"].startswith("babilong")]
    assert len(found) == 5
    for case in found:
        references = tuple(case["references"])
        row = Row(task=case["task"], length_tokens=4096, row=0, prompt="", prompt_tokens=0, references=references)
        scores = [next(iter(score_row(row, [text]).values())) for text in case["predictions"]]
        assert [percent([score]) for score in scores] == case["expected_score_each"]
        assert percent(scores) == case["expected_score_together"]


@pytest.mark.parametrize(("task", "score"), [("niah_multivalue", 2 / 3), ("qa_hotpotqa", 1.0)])
def test_two_of_three_answers_count_by_the_rule_of_the_task(task: str, score: float) -> None:
    row = Row(task=task, length_tokens=4096, row=0, prompt="", prompt_tokens=0, references=("Oslo", "Rome", "Bonn"))
    assert score_row(row, ["Rome, oslo"]) == {"string_match": pytest.approx(score)}
