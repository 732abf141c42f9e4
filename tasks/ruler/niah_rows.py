"""Rows of the `niah_*` tasks: draw, fit the haystack to the length, render, and note where the needles are."""

from __future__ import annotations

import functools
import random
from itertools import accumulate
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.synthetic.fitting import fit_size
from ropepp_eval.synthetic.piece_counting import PieceCounter, piece_counter
from ropepp_eval.synthetic.rows import Row, RowRequest, private_stream
from ropepp_eval.tasks.ruler.haystacks import Haystack, essay_haystack, filler_haystack
from ropepp_eval.tasks.ruler.niah import Needle, NiahChoices, NiahDraw, Prompt, draw_niah, render_niah
from ropepp_eval.tasks.ruler.settings import max_new_tokens, niah_task, settings

_SPARE_NEEDLES = 32
_BLOCK = 64


class NiahRows:
    """Builds the rows of one (task, length)."""

    def __init__(self, request: RowRequest) -> None:
        self.request = request
        self.task = niah_task(request.task, request.protocol)
        self.texts: dict[str, Any] = settings(request.protocol)["niah"]
        self.counter: PieceCounter = piece_counter(request.tokenizer)
        self.max_new_tokens = max_new_tokens(request.protocol, "niah")
        self.prompt_budget = request.length_tokens - self.max_new_tokens
        self.haystack = self._haystack() if self.task.haystack == "essay" else None

    def _haystack(self) -> Haystack:
        if self.request.data.root is None:  # a word is at least a token, so these words are always enough
            return filler_haystack(1 << max(self.request.length_tokens - 1, 1).bit_length())
        return essay_haystack(self.request.data, **settings(self.request.protocol)["essays"])

    def row(self, number: int) -> Row:
        """Row `number`.

        Raises:
            TooShort: not even the smallest haystack fits the length.
            UserError: the essays are too short for the length.
        """
        draw = draw_niah(self.task, functools.partial(self._stream, number), self.texts["depth_steps"])
        running = self._running_tokens(draw)
        fixed = self.counter.count(self._render(draw, 1).text) - running[1]
        units, tokens = fit_size(
            lambda n: fixed + running[n],
            lambda n: self.counter.count(self._render(draw, n).text),
            self.prompt_budget,
            1,
            len(running) - 1,
        )
        if self.haystack and units == len(self.haystack.words):
            self._refuse_small_corpus(tokens)
        if self.task.haystack == "needle":
            units, tokens = self._fill_last_line(draw, units, tokens)
        return self._row(number, draw.at(units, self.haystack), tokens)

    def _stream(self, number: int, part: str) -> random.Random:
        request = self.request
        return private_stream("ruler", request.task, request.length_tokens, number, request.seed, part)

    def _render(self, draw: NiahDraw, units: int) -> Prompt:
        return render_niah(draw.at(units, self.haystack), self.task, self.texts, self.haystack)

    def _running_tokens(self, draw: NiahDraw) -> list[int]:
        """Tokens of the first n units, n from 0, as far as could fit."""
        if self.haystack:
            return self.haystack.running_tokens(self.counter)
        if self.task.haystack == "noise":
            first, _, rest = self.texts["noise"].partition(" ")
            line = self.counter.count_inside(f" {rest}\n{first}")
            return [line * n for n in range(self.prompt_budget // line + 2)]
        running = [0]
        while running[-1] <= self.prompt_budget:
            lines = draw.further_needles(len(running) - 1 + _BLOCK)[len(running) - 1 :]
            running += [running[-1] + tokens for tokens in accumulate(self._line_tokens(lines))]
        return running

    def _line_tokens(self, needles: list[Needle]) -> list[int]:
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
        for place, line in enumerate(self._line_tokens(spare), start=units):
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

    def _row(self, number: int, choices: NiahChoices, tokens: int) -> Row:
        request = self.request
        prompt = render_niah(choices, self.task, self.texts, self.haystack)
        return Row(
            task=request.task,
            length_tokens=request.length_tokens,
            row=number,
            prompt=prompt.text,
            prompt_tokens=tokens,
            references=choices.answers,
            max_new_tokens=self.max_new_tokens,
            stand_in=bool(self.haystack and self.haystack.stand_in),
            details={"haystack_units": choices.haystack_units, "needles": self._needles(choices, prompt)},
        )

    def _needles(self, choices: NiahChoices, prompt: Prompt) -> list[dict[str, Any]]:
        """Where each needle is: its place among the haystack's units in percent, and the tokens before it."""
        units = self.haystack.sentences(choices.haystack_units) if self.haystack else choices.haystack_units
        return [
            {
                "key": needle.key,
                "value": needle.value,
                "queried": needle.key in choices.queries,
                "depth_percent": round(100 * place / units, 2),
                "token_position": self.counter.count(prompt.text[:offset].rstrip(" ")),
            }
            for needle, place, offset in zip(choices.needles, choices.places, prompt.needle_offsets, strict=True)
        ]
