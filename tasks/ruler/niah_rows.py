"""Rows of the `niah_*` tasks: draw, fit the haystack to the length, render, and note where the needles are."""

from __future__ import annotations

import functools
from bisect import bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.streams import private_stream
from ropepp_eval.tasks.ruler.family import Family, line_tokens
from ropepp_eval.tasks.ruler.haystacks import Haystack, essay_haystack, filler_haystack
from ropepp_eval.tasks.ruler.niah import (
    Needle,
    NiahChoices,
    NiahDraw,
    Prompt,
    draw_niah,
    draw_pool,
    needle_line,
    render_niah,
)
from ropepp_eval.tasks.ruler.settings import NiahTask

_key = attrgetter("key")
_SPARE_NEEDLES = 32
_TYPICAL_WORDS = 2500  # enough sentences for needles to stand apart, as they do at any greater size
_WORDS_A_TOKEN = 8  # a word is at least a token, unless tokens lie across blanks
_PROBE_LINES = 64  # the mean line is not a fifth shorter than the shortest of these
_POOL_FACTOR = 4
_SMALLEST_POOL = 1024
_JUNCTION_TOKENS = 2  # what another last line may add where it meets the question


class NiahRows(Family):
    """Builds rows of the `niah_*` tasks. The size is words (essay), lines (noise) or further needles."""

    name = "niah"

    def __init__(self, request: RowRequest) -> None:
        super().__init__(request)
        self.task = NiahTask(**self.settings["niah_tasks"][request.task])

    @functools.cached_property
    def haystack(self) -> Haystack | None:
        """The essays, for the tasks that hide needles in them."""
        if self.task.haystack != "essay":
            return None
        most_words = (1 if self.counter.independent else _WORDS_A_TOKEN) << (
            max(self.request.length_tokens, 2) - 1
        ).bit_length()
        if self.request.data.root is None:
            return filler_haystack(most_words)
        essays = self.settings["essays"]
        return essay_haystack(self.request.data, **essays, most_words=most_words, repeat=self.request.data.repeat_text)

    def row(self, number: int) -> Row:
        draw = draw_niah(
            self.task, functools.partial(self.stream, number), self.texts["depth_steps"], self.pool, self._most_lines
        )
        running = self._running_tokens(draw)
        typical = max(1, min(_TYPICAL_WORDS if self.haystack else 1, bisect_right(running, self.prompt_budget) - 1))

        def count(units: int) -> int:
            return self.counter.count(self._render(draw.at(units, self.haystack)).text)

        fixed = count(typical) - running[typical]
        units, tokens = self.fit(lambda n: fixed + running[n], count, 1, len(running) - 1)
        if self.task.haystack == "needle" and self._add_short_line(draw, units, tokens):
            units, tokens = units + 1, count(units + 1)
        if self.haystack and units == len(self.haystack.words):
            self._refuse_small_corpus(tokens)
        return self._finished(number, draw.at(units, self.haystack), tokens)

    def _render(self, choices: NiahChoices) -> Prompt:
        return render_niah(choices, self.task, self.texts, self.haystack, self._pool_lines)

    def _running_tokens(self, draw: NiahDraw) -> list[int]:
        """Tokens of the first n units, n from 0, as far as could fit."""
        if self.haystack:
            return self.haystack.running_tokens(self.counter)
        if self.task.haystack == "noise":
            line = line_tokens(self.counter, self.texts["noise"])
            return [line * n for n in range(max(self.prompt_budget, 0) // line + 2)]
        return list(accumulate(map(self._pool_tokens.__getitem__, map(_key, draw.further)), initial=0))

    @functools.cached_property
    def _most_lines(self) -> int:
        """More further needles than fit, and some to choose the last line from."""
        if self.task.haystack != "needle":
            return 0
        probe = draw_pool(self.task, private_stream("ruler", "probe"), _PROBE_LINES)
        return _SPARE_NEEDLES + int(max(self.prompt_budget, 0) / (0.8 * min(self._needle_tokens(probe))))

    @functools.cached_property
    def pool(self) -> list[Needle]:
        """The needles that the rows of this cell choose from: four times what a row can hold, so each is tokenized once."""
        request = self.request
        stream = private_stream("ruler", request.task, request.length_tokens, "pool", request.seed)
        size = max(_SMALLEST_POOL, _POOL_FACTOR * self._most_lines) if self._most_lines else 0
        return draw_pool(self.task, stream, size)

    @functools.cached_property
    def _pool_lines(self) -> dict[str, str]:
        """The line of each needle of the pool, by its key."""
        return {needle.key: needle_line(needle, self.task, self.texts) for needle in self.pool}

    @functools.cached_property
    def _pool_tokens(self) -> dict[str, int]:
        """Tokens of the line of each needle of the pool, by its key."""
        return dict(zip([needle.key for needle in self.pool], self._needle_tokens(self.pool), strict=True))

    def _needle_tokens(self, needles: list[Needle]) -> list[int]:
        """Tokens of each needle's line, from its first cut to the first cut of the line after it."""
        first, *words = self.texts["needle"].split(" ")
        end = self._value_end(first)
        fixed = " ".join(word for word in words if "{key}" not in word and "{value}" not in word)
        tokens = self.counter.count_inside(" " + fixed.format(value_type=self.task.value_type))
        keys = self.counter.each_inside([needle.key for needle in needles])
        values = self.counter.each_inside([needle.value + end for needle in needles])
        return [tokens + key + value for key, value in zip(keys, values, strict=True)]

    def _add_short_line(self, draw: NiahDraw, lines: int, tokens: int) -> bool:
        """Whether one of the needles after the lines that fit is short enough for the room that is left; it comes next then."""
        for place in range(lines, min(lines + _SPARE_NEEDLES, len(draw.further))):
            if tokens + self._pool_tokens[draw.further[place].key] + _JUNCTION_TOKENS <= self.prompt_budget:
                draw.further[lines], draw.further[place] = draw.further[place], draw.further[lines]
                return True
        return False

    def _value_end(self, next_word: str) -> str:
        """What follows a value, up to the first cut after it."""
        return str(self.texts["needle"].split(" ")[-1].removeprefix("{value}")) + f"\n{next_word}"

    def _refuse_small_corpus(self, tokens: int) -> None:
        assert self.haystack is not None
        missing = self.prompt_budget - tokens
        if missing > 0:
            raise UserError(
                f"task {self.request.task} at {self.request.length_tokens} tokens: the {len(self.haystack.words)} words of "
                f"{self.request.data.root}/essays end {missing} tokens too early; add essays, ask for a shorter length, or let "
                "text repeat (repeat_text)"
            )

    def _finished(self, number: int, choices: NiahChoices, tokens: int) -> Row:
        prompt = self._render(choices)
        order = sorted(range(len(prompt.needle_offsets)), key=prompt.needle_offsets.__getitem__)
        counted = self.counter.positions(prompt.text, sorted(prompt.needle_offsets))
        places = [tokens for _, tokens in sorted(zip(order, counted, strict=True))]
        details = {"haystack_units": choices.haystack_units, "needles": self._needles(choices, places)}
        stand_in = bool(self.haystack and self.haystack.stand_in)
        return self.make_row(number, prompt.text, tokens, choices.answers, stand_in=stand_in, details=details)

    def _needles(self, choices: NiahChoices, positions: list[int]) -> list[dict[str, Any]]:
        """Where each needle is: its place among the haystack's units in percent, and the tokens before it."""
        units = self.haystack.sentences(choices.haystack_units) if self.haystack else choices.haystack_units
        return [
            {
                "key": needle.key,
                "value": needle.value,
                "queried": needle.key in choices.queries,
                "depth_percent": round(100 * place / units, 2),
                "token_position": position,
            }
            for needle, place, position in zip(choices.needles, choices.places, positions, strict=True)
        ]
