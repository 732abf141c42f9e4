"""What the YAML files of this folder refer to; lm-eval loads this file by its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ropepp_eval") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ropepp_eval.rows.hooks import row_task_attribute as __getattr__
from ropepp_eval.rows.sliding_windows import sliding_scores, window_perplexity
from ropepp_eval.tasks.wikitext.pages import page_rows, page_scores
from ropepp_eval.tasks.wikitext.positions import position_rows, position_scores
from ropepp_eval.tasks.wikitext.sliding import wikitext_sliding_rows

__all__ = [
    "__getattr__",
    "page_rows",
    "page_scores",
    "position_rows",
    "position_scores",
    "sliding_scores",
    "wikitext_sliding_rows",
    "window_perplexity",
]
