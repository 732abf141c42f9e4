"""What lm-eval loads by path. In a checkout without an installed package it first finds the checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ropepp_eval") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from ropepp_eval.rows.hooks import row_task_attribute as __getattr__
from ropepp_eval.tasks.ruler.build import build_rows as rows
from ropepp_eval.tasks.ruler.scoring import score_row as process_results

__all__ = ["__getattr__", "process_results", "rows"]
