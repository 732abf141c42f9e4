"""What the `hooks.py` of every task folder shares."""

from __future__ import annotations

from typing import Any


def row_task_attribute(name: str) -> Any:
    """`__getattr__` of a hooks module: gives `RowTask` when lm-eval asks for it, since its import costs seconds and runs of
    ours never need it.

    Raises:
        AttributeError: any other name.
    """
    if name == "RowTask":
        from ropepp_eval.rows.lm_eval_task import RowTask

        return RowTask
    raise AttributeError(name)
