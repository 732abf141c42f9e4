"""Where the supporting facts of a prompt stand, in tokens and as depth."""

from __future__ import annotations

from typing import Any

from ropepp_eval.data.babi import Question
from ropepp_eval.tasks.babilong.cell import Cell
from ropepp_eval.tasks.babilong.context import Prompt


def supporting_places(cell: Cell, prompt: Prompt, question: Question) -> dict[str, Any]:
    """`needles`: each supporting fact, its `depth_percent` (of the context's tokens) and `token_position` (tokens of the
    prompt before it); `depths`: these depths alone.

    The prompt is what the model reads; facts are looked for in story order, from the beginning of the context.
    """
    text = prompt.text
    begin = context_begin(text, cell.prompt.contexts_before)
    starts: list[int] = []
    after = begin
    for fact in question.facts:
        starts.append(text.index(cell.settings.inside(fact), after))
        after = starts[-1] + len(fact)
    wanted = [begin, *(starts[index] for index in question.supporting), text.rindex("</context>")]
    first, *positions, end = cell.positions(text, wanted)
    needles = []
    for index, position in zip(question.supporting, positions, strict=True):
        depth = round(100 * max(0, position - first) / max(1, end - first), 2)
        needles.append({"fact": question.facts[index], "depth_percent": depth, "token_position": position})
    return {"needles": needles, "depths": [needle["depth_percent"] for needle in needles]}


def context_begin(prompt: str, contexts_before: int) -> int:
    """First character of the context: after its `<context>`, of which the examples may hold one too."""
    position = -1
    for _ in range(contexts_before + 1):
        position = prompt.index("<context>", position + 1)
    return position + len("<context>")
