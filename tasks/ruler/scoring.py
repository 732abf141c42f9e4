"""RULER's post-processing and its two scorers (NVIDIA/RULER c3f5e3b, `scripts/eval`), row by row.

The reference rounds the mean over all rows to two decimals, in percent; here a row's score is a share, 0 to 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ropepp_eval.rows.row import Row

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f]")


def clean_prediction(text: str) -> str:
    """Strip, control characters to newlines, strip: all that the reference does to a prediction."""
    return _CONTROL_CHARACTERS.sub("\n", text.strip()).strip()


def string_match_all(prediction: str, references: Sequence[str]) -> float:
    """Share of the references found in the prediction, case ignored."""
    lower = prediction.lower()
    return sum(reference.lower() in lower for reference in references) / len(references)


def string_match_part(prediction: str, references: Sequence[str]) -> float:
    """1 where any reference is found in the prediction, case ignored, else 0."""
    lower = prediction.lower()
    return float(any(reference.lower() in lower for reference in references))


SCORERS = {"string_match_all": string_match_all, "string_match_part": string_match_part}


def task_score(rule: str, predictions: Sequence[str], references: Sequence[Sequence[str | None]]) -> float:
    """The one number the reference reports for a task: percent, two decimals, from raw predictions.

    A task whose first row has no answer (None) gets 0.
    """
    if references[0][0] is None:
        return 0.0
    answers = [[str(reference) for reference in row] for row in references]
    shares = [SCORERS[rule](clean_prediction(text), row) for text, row in zip(predictions, answers, strict=True)]
    return round(100 * sum(shares) / len(shares), 2)


def rule_of(task: str) -> str:
    """Any answer counts for `qa_*`, the share of the answers elsewhere."""
    return "string_match_part" if task.startswith("qa_") else "string_match_all"


def score_row(row: Row, responses: Sequence[Any]) -> dict[str, float]:
    """The score of a row by the rule of its task, under one name, so that a group can average all tasks."""
    return {"string_match": SCORERS[rule_of(row.task)](clean_prediction(str(responses[0])), row.references)}
