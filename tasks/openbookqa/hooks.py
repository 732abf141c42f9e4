"""What the YAML files of this folder refer to; lm-eval loads this file by its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ropepp_eval") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ropepp_eval.rows.continuations import choice_scores as question_scores
from ropepp_eval.rows.continuations import continuation_scores
from ropepp_eval.rows.hooks import row_task_attribute as __getattr__
from ropepp_eval.tasks.openbookqa.book import book_rows, nofact_rows
from ropepp_eval.tasks.openbookqa.questions import question_rows

__all__ = ["__getattr__", "book_rows", "continuation_scores", "nofact_rows", "question_rows", "question_scores"]
