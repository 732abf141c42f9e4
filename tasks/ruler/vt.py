"""`vt`, variable tracking: which variables got the value, along a chain of assignments hidden among noise lines.

Source: RULER v1 (NVIDIA/RULER c3f5e3b), `variable_tracking.py`; the same choices give the same text to the byte.
"""

from __future__ import annotations

import itertools
import random
import string
from dataclasses import dataclass
from typing import Any

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.ruler.family import Family, line_tokens
from ropepp_eval.tokens.fitting import TooShort, fit_size

HOPS = 4
_NAME_LETTERS = 5
_EXAMPLE_NAME_LETTERS = 3


@dataclass(frozen=True, kw_only=True)
class VtChoices:
    """Every random choice behind one text with its question."""

    variables: tuple[str, ...]
    """The chain: the first gets the value, each further one its predecessor."""
    value: str
    """Five digits."""
    positions: tuple[int, ...]
    """Before which noise line each assignment goes, rising."""
    lines: int
    """Noise lines."""


@dataclass(frozen=True, kw_only=True)
class VtDraw:
    """The choices that do not depend on the number of noise lines."""

    variables: tuple[str, ...]
    value: str
    shares: tuple[float, ...]
    """Place of each assignment, 0 to 1, rising."""

    def at(self, lines: int) -> VtChoices:
        """The choices at a size: every set of different lines is equally likely."""
        free = lines - len(self.shares) + 1
        positions = tuple(int(share * free) + j for j, share in enumerate(self.shares))
        return VtChoices(variables=self.variables, value=self.value, positions=positions, lines=lines)


def draw_vt(stream: random.Random, letters: int) -> VtDraw:
    """A chain of five variables with names of so many letters."""
    names: dict[str, None] = {}
    while len(names) < HOPS + 1:
        names["".join(stream.choices(string.ascii_uppercase, k=letters))] = None
    value = str(stream.randint(10_000, 99_998))  # the reference draws from numpy's half-open range
    return VtDraw(variables=tuple(names), value=value, shares=tuple(sorted(stream.random() for _ in names)))


def render_vt(choices: VtChoices, texts: dict[str, Any]) -> tuple[str, list[int]]:
    """Text with question and answer prefix, and the character at which each assignment begins."""
    first, *_ = choices.variables
    chain = [texts["first"].format(name=first, value=choices.value)]
    chain += [texts["next"].format(name=b, previous=a) for a, b in itertools.pairwise(choices.variables)]
    lines = [texts["noise"]] * choices.lines
    for j, (position, sentence) in enumerate(zip(choices.positions, chain, strict=True)):
        lines.insert(position + j, sentence)
    head, tail = (texts["template"] + texts["answer_prefix"]).split("{context}")
    glue = texts["glue"]
    earlier = itertools.accumulate((len(sentence) + len(glue) for sentence in chain), initial=len(head))
    noise = len(texts["noise"]) + len(glue)
    text = head + glue.join(lines) + tail.format(query=choices.value, count=len(choices.variables))
    return text, [position * noise + before for position, before in zip(choices.positions, earlier, strict=False)]


def render_example(choices: VtChoices, texts: dict[str, Any]) -> str:
    """The worked example that stands before the text proper."""
    return render_vt(choices, texts)[0] + str(texts["example_answer"].format(answers=" ".join(choices.variables)))


class VtRows(Family):
    """Builds `vt` rows."""

    name = "vt"

    def row(self, number: int) -> Row:
        example = self._example(number) if self.texts["example_tokens"] else ""
        draw = draw_vt(self.stream(number, "chain"), _NAME_LETTERS)
        line = line_tokens(self.counter, self.texts["noise"], self.texts["glue"])
        smallest = HOPS + 1

        def count(lines: int) -> int:
            return self.counter.count(example + render_vt(draw.at(lines), self.texts)[0])

        fixed = count(smallest) - smallest * line
        largest = max(self.prompt_budget // line, smallest) + 1
        lines, tokens = self.fit(lambda n: fixed + n * line, count, smallest, largest)
        choices = draw.at(lines)
        text, offsets = render_vt(choices, self.texts)
        before = self.counter.positions(example + text, [len(example) + offset for offset in offsets])
        details = self._details(choices, before)
        return self.make_row(number, example + text, tokens, choices.variables, details=details)

    def _example(self, number: int) -> str:
        """The worked example, fitted to its own length as in the reference (budget included)."""
        draw = draw_vt(self.stream(number, "example"), _EXAMPLE_NAME_LETTERS)
        line = line_tokens(self.counter, self.texts["noise"], self.texts["glue"])
        smallest = HOPS + 1

        def count(lines: int) -> int:
            return self.counter.count(render_example(draw.at(lines), self.texts))

        fixed = count(smallest) - smallest * line
        room = self.texts["example_tokens"] - self.max_new_tokens
        try:
            lines, _ = fit_size(lambda n: fixed + n * line, count, room, smallest, max(room, 0) // line + smallest)
        except TooShort:  # a tokenizer that needs very many tokens still gets an example, the smallest
            lines = smallest
        return render_example(draw.at(lines), self.texts)

    def _details(self, choices: VtChoices, before: list[int]) -> dict[str, Any]:
        """Where the assignments are; `before` has the tokens before each."""
        return {
            "haystack_units": choices.lines,
            "value": choices.value,
            "needles": [
                {
                    "key": name,
                    "depth_percent": round(100 * position / choices.lines, 2),
                    "token_position": tokens,
                }
                for name, position, tokens in zip(choices.variables, choices.positions, before, strict=True)
            ],
        }
