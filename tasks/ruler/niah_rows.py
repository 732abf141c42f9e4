"""Rows of the `niah_*` tasks: draw, fit the haystack to the length, render, and note where the needles are."""

from __future__ import annotations

import functools
from itertools import accumulate
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.synthetic.rows import Row, RowRequest
from ropepp_eval.tasks.ruler.family import Family, line_tokens
from ropepp_eval.tasks.ruler.haystacks import Haystack, essay_haystack, filler_haystack
from ropepp_eval.tasks.ruler.niah import Needle, NiahChoices, NiahDraw, Prompt, draw_niah, render_niah
from ropepp_eval.tasks.ruler.settings import NiahTask

_SPARE_NEEDLES = 32
_BLOCK = 64


class NiahRows(Family):
    """Builds rows of the `niah_*` tasks. The size is words (essay), lines (noise) or further needles."""

    name = "niah"

    def __init__(self, request: RowRequest) -> None:
        super().__init__(request)
        self.task = NiahTask(**self.settings["niah_tasks"][request.task])
        self.haystack = self._haystack() if self.task.haystack == "essay" else None

    def _haystack(self) -> Haystack:
        if self.request.data.root is None:  # a word is at least a token, so these words are always enough
            return filler_haystack(1 << max(self.request.length_tokens - 1, 1).bit_length())
        return essay_haystack(self.request.data, **self.settings["essays"])

    def row(self, number: int) -> Row:
        draw = draw_niah(self.task, functools.partial(self.stream, number), self.texts["depth_steps"])
        running = self._running_tokens(draw)
        fixed = self.counter.count(self._render(draw, 1).text) - running[1]
        units, tokens = self.fit(lambda n: fixed + running[n], lambda n: self._render(draw, n).text, 1, len(running) - 1)
        if self.haystack and units == len(self.haystack.words):
            self._refuse_small_corpus(tokens)
        if self.task.haystack == "needle":
            units, tokens = self._fill_last_line(draw, units, tokens)
        return self._finished(number, draw.at(units, self.haystack), tokens)

    def _render(self, draw: NiahDraw, units: int) -> Prompt:
        return render_niah(draw.at(units, self.haystack), self.task, self.texts, self.haystack)

    def _running_tokens(self, draw: NiahDraw) -> list[int]:
        """Tokens of the first n units, n from 0, as far as could fit."""
        if self.haystack:
            essay: list[int] = self.haystack.running_tokens(self.counter)
            return essay
        if self.task.haystack == "noise":
            line = line_tokens(self.counter, self.texts["noise"])
            return [line * n for n in range(self.prompt_budget // line + 2)]
        running = [0]
        while running[-1] <= self.prompt_budget:
            lines = draw.further_needles(len(running) - 1 + _BLOCK)[len(running) - 1 :]
            running += [running[-1] + tokens for tokens in accumulate(self._needle_tokens(lines))]
        return running

    def _needle_tokens(self, needles: list[Needle]) -> list[int]:
        """Tokens of each needle's line, from its first cut to the first cut of the line after it."""
        template = self.texts["needle"].format(value_type=self.task.value_type, key="{key}", value="{value}")
        first, *words = template.split(" ")
        fixed = " ".join(word for word in words if "{" not in word)
        keys = [needle.key for needle in needles]
        values = [words[-1].format(value=needle.value) + f"\n{first}" for needle in needles]
        self.counter.learn([*keys, *values])
        tokens = self.counter.count_inside(f" {fixed}")
        return [
            tokens + self.counter.count_inside(f" {key}") + self.counter.count_inside(f" {value}")
            for key, value in zip(keys, values, strict=True)
        ]

    def _fill_last_line(self, draw: NiahDraw, units: int, tokens: int) -> tuple[int, int]:
        """One line more where one of the next needles is short enough for the room that is left."""
        spare = draw.further_needles(units + _SPARE_NEEDLES)[units:]
        for place, line in enumerate(self._needle_tokens(spare), start=units):
            if tokens + line <= self.prompt_budget:
                draw.distractors[units], draw.distractors[place] = draw.distractors[place], draw.distractors[units]
                found = self.counter.count(self._render(draw, units + 1).text)
                if found <= self.prompt_budget:
                    return units + 1, found
        return units, tokens

    def _refuse_small_corpus(self, tokens: int) -> None:
        assert self.haystack is not None
        missing = self.prompt_budget - tokens
        if missing > 0:
            raise UserError(
                f"task {self.request.task} at {self.request.length_tokens} tokens: the {len(self.haystack.words)} words of "
                f"{self.request.data.root}/essays end {missing} tokens too early; add essays, or ask for a shorter length"
            )

    def _finished(self, number: int, choices: NiahChoices, tokens: int) -> Row:
        prompt = render_niah(choices, self.task, self.texts, self.haystack)
        details = {"haystack_units": choices.haystack_units, "needles": self._needles(choices, prompt)}
        stand_in = bool(self.haystack and self.haystack.stand_in)
        row: Row = self.make_row(number, prompt.text, tokens, choices.answers, stand_in=stand_in, details=details)
        return row

    def _needles(self, choices: NiahChoices, prompt: Prompt) -> list[dict[str, Any]]:
        """Where each needle is: its place among the haystack's units in percent, and the tokens before it."""
        units = self.haystack.sentences(choices.haystack_units) if self.haystack else choices.haystack_units
        return [
            {
                "key": needle.key,
                "value": needle.value,
                "queried": needle.key in choices.queries,
                "depth_percent": round(100 * place / units, 2),
                "token_position": self.position(prompt.text, offset),
            }
            for needle, place, offset in zip(choices.needles, choices.places, prompt.needle_offsets, strict=True)
        ]
