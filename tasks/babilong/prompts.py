"""The prompts of BABILong and their one template (booydar/babilong, revision 7a6efee)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from ropepp_eval.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class TaskPrompt:
    """What stands around the context of one task."""

    labels: tuple[str, ...]
    """The answers that the reference's comparison looks for."""
    instruction: str
    examples: str
    post_prompt: str

    def fill(self, context: str, question: str) -> str:
        """The whole prompt, which ends with the question. Blanks around the context and after the question are dropped."""
        parts = [self.instruction, self.examples, self.post_prompt, f"<context>\n{context.strip()}\n</context>"]
        return ("\n\n".join(parts) + f"\n\nQuestion: {question}").strip()

    @property
    def contexts_before(self) -> int:
        """How often `<context>` stands in the prompt before the context's own."""
        return "".join((self.instruction, self.examples, self.post_prompt)).count("<context>")


@functools.lru_cache(maxsize=1)
def task_prompts() -> dict[str, TaskPrompt]:
    """The prompts of qa1 to qa20."""
    content = yaml.safe_load(Path(__file__).with_name("prompts.yaml").read_text(encoding="utf-8"))
    return {task: TaskPrompt(**{**fields, "labels": tuple(fields["labels"])}) for task, fields in content.items()}


def task_prompt(task: str) -> TaskPrompt:
    """The prompt of `task` (`qa1` or `babilong_qa1`).

    Raises:
        UserError: BABILong has no such task.
    """
    name = task.removeprefix("babilong_")
    if name not in task_prompts():
        raise unknown_name("BABILong task", name, task_prompts(), "it has qa1 to qa20")
    return task_prompts()[name]
