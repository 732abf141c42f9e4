"""ropepp-eval: how well does a checkpoint hold up as its context grows, and is a difference between two real?

Importing this package does nothing but define names; each is loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropepp_eval.checkpoints.inspection import inspect_checkpoint as inspect_checkpoint
    from ropepp_eval.checkpoints.loading import load_checkpoint as load_checkpoint
    from ropepp_eval.errors import UserError as UserError
    from ropepp_eval.registration import register as register
    from ropepp_eval.reports.effective_table import read_effective_lengths as read_effective_lengths
    from ropepp_eval.reports.frame import read_results as read_results
    from ropepp_eval.reports.frame import read_rows as read_rows
    from ropepp_eval.rows.catalogue import load_task_folder as load_task_folder
    from ropepp_eval.rows.lm_eval_lengths import lm_eval_tasks as lm_eval_tasks
    from ropepp_eval.runs import evaluate as evaluate

__version__ = "0.1.0"

_LAZY = {
    "UserError": "ropepp_eval.errors",
    "evaluate": "ropepp_eval.runs",
    "inspect_checkpoint": "ropepp_eval.checkpoints.inspection",
    "lm_eval_tasks": "ropepp_eval.rows.lm_eval_lengths",
    "load_checkpoint": "ropepp_eval.checkpoints.loading",
    "load_task_folder": "ropepp_eval.rows.catalogue",
    "read_effective_lengths": "ropepp_eval.reports.effective_table",
    "read_results": "ropepp_eval.reports.frame",
    "read_rows": "ropepp_eval.reports.frame",
    "register": "ropepp_eval.registration",
}
__all__ = ["__version__", *sorted(_LAZY)]  # noqa: PLE0604 (the names are strings)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'ropepp_eval' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
