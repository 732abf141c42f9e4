"""lm-eval's switches that mean something else for our tasks, or nothing: refused in one line, before a model is loaded where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropepp_eval.errors import UserError

_WHY = {
    "num_fewshot": "worked examples belong to the row, which fills its length with them",
    "apply_chat_template": "a chat template would add tokens that the row's length has no room for",
    "system_instruction": "it would add tokens that the row's length has no room for",
}


def refuse_other_prompts(task: str, switches: Mapping[str, Any]) -> None:
    """Raise UserError where a switch asks for another prompt than the row's own.

    Args:
        task: a task of ours, or how the user named it.
        switches: lm-eval's settings by name; those that are not set, or 0, ask for nothing.
    """
    for name, why in _WHY.items():
        if switches.get(name):
            raise UserError(f"--{name} does not go with task {task}: {why}; leave it out (docs/lm_eval.md)")
