"""What the YAML files of this folder refer to; lm-eval loads this file by its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ropepp_eval") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ropepp_eval.rows.hooks import row_task_attribute as __getattr__
from ropepp_eval.rows.sliding_windows import sliding_scores, window_perplexity
from ropepp_eval.tasks.lambada.filled import filled_rows
from ropepp_eval.tasks.lambada.last_word import last_word_rows, last_word_scores
from ropepp_eval.tasks.lambada.sliding import lambada_sliding_rows

__all__ = [
    "__getattr__",
    "filled_rows",
    "lambada_sliding_rows",
    "last_word_rows",
    "last_word_scores",
    "sliding_scores",
    "window_perplexity",
]
