"""New tokens of one row, the text they make, and when to stop. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ropepp_eval.tokens.chat import END_OF_THINKING, THINK

if TYPE_CHECKING:
    from ropepp_eval.adapters.encoding import Job

CONTEXT_TOKENS = 4
"""Tokens decoded again before new ones, so that a character over several tokens, or a blank at a seam, comes out right."""


def first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop text begins, or None."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


class Writer:
    """Collects the new tokens of one row and says when it is done.

    A stop text counts wherever it stands in the text, however its characters are spread over tokens. To see it early without
    decoding everything again at each token, only the end of the text is decoded, as far back as the longest stop can reach.

    With a reasoning budget the text may begin with thinking between `<think>` and `</think>`: no part of the answer, with a budget of its
    own, and without stop texts. Thinking that does not end within it leaves an empty answer.
    """

    def __init__(
        self,
        tokenizer: Any,
        budget: int,
        stops: tuple[str, ...],
        end_ids: frozenset[int],
        *,
        reasoning_budget: int = 0,
        thinks_already: bool = False,
    ) -> None:
        """Begin a row.

        Args:
            tokenizer: decodes.
            budget: most new tokens, `reasoning_budget` among them.
            stops: texts that end the answer.
            end_ids: tokens that end the row.
            reasoning_budget: most tokens of thinking.
            thinks_already: the prompt ended with `<think>`.
        """
        self.tokenizer = tokenizer
        self.budget = budget
        self.stops = stops
        self.end_ids = end_ids
        self.reasoning_budget = reasoning_budget
        self.ids: list[int] = []
        self.finish: str | None = None
        self.reasoning_tokens = 0
        """Tokens before the answer."""
        self._thinking: bool | None = None if reasoning_budget else False  # None: not known yet
        if reasoning_budget and thinks_already:
            self._thinking = True
        self._seam = ""  # of the answer: what the token that ended the thinking holds beyond it
        # A token makes at least one byte, and a character has at most four.
        self._reach = CONTEXT_TOKENS + 4 * max(map(len, stops), default=0)

    @classmethod
    def of(cls, job: Job, tokenizer: Any, end_ids: frozenset[int]) -> Self:
        """The writer of a job's answer."""
        return cls(
            tokenizer,
            job.budget,
            job.stops,
            end_ids,
            reasoning_budget=job.reasoning_budget,
            thinks_already=job.thinks_already,
        )

    def add(self, token: int) -> bool:
        """Take the next token; True when the row is finished."""
        self.ids.append(token)
        if token in self.end_ids:
            self._note_thinking()
            self.finish = "eos"
        elif self._before_answer and self._note_thinking():
            if self._before_answer and len(self.ids) >= self.reasoning_budget:
                self.finish = "length"
        elif self.stops and self._stopped():
            self.finish = "stop"
        elif len(self.ids) - self.reasoning_tokens >= self.budget - self.reasoning_budget:
            self.finish = "length"
        return self.finish is not None

    @property
    def _before_answer(self) -> bool:
        return self._thinking is not False

    def _note_thinking(self) -> bool:
        """Whether the newest token is still before the answer."""
        if self._thinking is None:
            text = self.tokenizer.decode(self.ids, skip_special_tokens=False).lstrip()
            if not THINK.startswith(text[: len(THINK)]):
                self._thinking, self.reasoning_tokens = False, 0
                return False
            self._thinking = True if text.startswith(THINK) else None
        if self._thinking is False:
            return False
        self.reasoning_tokens = len(self.ids)
        reach = CONTEXT_TOKENS + 4 * len(END_OF_THINKING)
        _, ended, self._seam = self.tokenizer.decode(self.ids[-reach:], skip_special_tokens=False).partition(END_OF_THINKING)
        if ended:
            self._thinking = False
        return True

    def _stopped(self) -> bool:
        tail = self._decode(self.ids[max(self.reasoning_tokens, len(self.ids) - self._reach) :])
        return first_stop(tail, self.stops) is not None and first_stop(self._answer(), self.stops) is not None

    def _answer(self) -> str:
        return self._seam + self._decode(self.ids[self.reasoning_tokens :])

    def _decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def result(self) -> str:
        """The answer before the first stop text."""
        if self.reasoning_tokens and self._before_answer:
            return ""
        text = self._answer()
        end = first_stop(text, self.stops)
        if end is not None and self.finish == "length":
            self.finish = "stop"
        return text[:end]
