"""What all rows of one (task, length) share, and which questions can be asked there."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ropepp_eval.data.babi import Question
from ropepp_eval.data.books import load_books
from ropepp_eval.errors import LengthTooShort
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import RowRequest
from ropepp_eval.tasks.babilong.background import Background, background_of
from ropepp_eval.tasks.babilong.prompts import TaskPrompt, task_prompt
from ropepp_eval.tasks.babilong.settings import BabilongSettings
from ropepp_eval.tokens.counting import piece_counter

PROMPT_TOKENS_OF_REFERENCE = 300
"""What the reference keeps free for instruction, examples and question: its context has the length minus this."""
TOKENS_A_LINE = 8
"""The reference leaves out questions with more lines than its context's tokens divided by this."""


@dataclass(frozen=True)
class Cell:
    """One (task, length) of a request."""

    request: RowRequest
    prompt: TaskPrompt
    settings: BabilongSettings

    @property
    def task(self) -> str:
        """The bAbI task: `qa1`."""
        return self.request.task.removeprefix("babilong_")

    @property
    def facts_only(self) -> bool:
        """True at length 0, where no other text stands around the facts."""
        return self.request.length_tokens == 0

    @property
    def prompt_limit(self) -> int:
        """Most tokens that the prompt's text may have."""
        return self.request.room_tokens - self.settings.max_new_tokens

    @functools.cached_property
    def background(self) -> Background:
        """The text around the facts; its tokens are counted once a process."""
        return background_of(load_books(self.request.data), self.request.tokenizer, self.settings)

    def fill(self, context: str, question: str) -> str:
        """The string that reaches the model."""
        return self.settings.model_input(self.prompt.fill(context, question))

    def count(self, text: str) -> int:
        """Tokens of `text`, by its pieces."""
        return piece_counter(self.request.tokenizer).count(text)

    def positions(self, text: str, offsets: list[int]) -> list[int]:
        """Tokens of `text` before each of these characters, which rise."""
        return piece_counter(self.request.tokenizer).positions(text, offsets)

    def tokens_with_facts_alone(self, question: Question) -> int:
        """Tokens of the prompt where no text stands around the facts."""
        return self.count(self.fill(" ".join(question.facts), question.question))

    def holds(self, question: Question) -> bool:
        """Whether a question is asked at this length: by the reference's limit on its lines, and because its prompt fits."""
        if self.facts_only:
            return True
        most_lines = (self.request.length_tokens - PROMPT_TOKENS_OF_REFERENCE) // TOKENS_A_LINE
        return len(question.facts) + 1 <= most_lines and self.tokens_with_facts_alone(question) <= self.prompt_limit

    def too_short(self, questions: tuple[Question, ...]) -> LengthTooShort:
        """The error for a length at which none of `questions` can be asked."""
        least = min(
            max(
                self.tokens_with_facts_alone(question) + self.request.length_tokens - self.prompt_limit,
                PROMPT_TOKENS_OF_REFERENCE + TOKENS_A_LINE * (len(question.facts) + 1),
            )
            for question in questions
        )
        return LengthTooShort(
            f"task {self.request.task}: no question fits {format_length(self.request.length_tokens)}; the smallest length "
            f"that holds one is {least} tokens (0k asks with the facts alone)"
        )


def open_cell(request: RowRequest) -> Cell:
    """The cell of a request.

    Raises:
        UserError: an unknown task or protocol.
    """
    settings = protocol_settings("babilong", request.protocol, BabilongSettings)
    return Cell(request, task_prompt(request.task), settings)
