"""What the YAML files of this folder refer to; lm-eval loads this file by its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("ropepp_eval") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ropepp_eval.rows.continuations import choice_scores
from ropepp_eval.rows.hooks import row_task_attribute as __getattr__
from ropepp_eval.tasks.super_glue.builders import part_rows, record_rows
from ropepp_eval.tasks.super_glue.entities import entity_scores

__all__ = ["__getattr__", "choice_scores", "entity_scores", "part_rows", "record_rows"]
