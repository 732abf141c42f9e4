"""Rows of BABILong: question i of the task with its facts among background sentences, fitted to the length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ropepp_eval.data.babi import Question
from ropepp_eval.data.books import load_books
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.synthetic.protocols import protocol_settings
from ropepp_eval.synthetic.rows import Row, RowRequest, private_stream
from ropepp_eval.tasks.babilong.background import Background, background_of
from ropepp_eval.tasks.babilong.context import (
    LEAST_FILL,
    MOST_FITS,
    Context,
    cut_to,
    mix,
    positions_among,
    random_places,
)
from ropepp_eval.tasks.babilong.prompts import TaskPrompt, task_prompt
from ropepp_eval.tasks.babilong.questions import QuestionSet, load_questions
from ropepp_eval.tasks.babilong.settings import BabilongSettings

PROMPT_TOKENS_OF_REFERENCE = 300
"""What the reference keeps free for instruction, examples and question: its context has the length minus this."""
TOKENS_A_FACT = 8
"""The reference leaves out questions with more lines than its context's tokens divided by this."""


def babilong_rows(request: RowRequest) -> list[Row]:
    """Row i asks question i of those that fit the length; length 0 gives the facts alone.

    Raises:
        UserError: the length is too small for the task, or the books do not fill it.
    """
    cell = _open_cell(request)
    rows: list[Row] = []
    for question in cell.questions.questions:
        if len(rows) >= request.samples:
            break
        if cell.holds(question):
            rows.append(_row(cell, len(rows), question))
    if not rows:
        raise cell.too_short()
    return rows


@dataclass(frozen=True)
class _Cell:
    """What all rows of one (task, length) share."""

    request: RowRequest
    questions: QuestionSet
    prompt: TaskPrompt
    settings: BabilongSettings
    background: Background | None
    """None at length 0, where no text stands around the facts."""

    @property
    def prompt_limit(self) -> int:
        """Most tokens that the prompt may have."""
        budget: int = self.settings.max_new_tokens
        return self.request.length_tokens - budget

    def fill(self, context: str, question: Question) -> str:
        """The string that reaches the model."""
        text: str = self.settings.model_input(self.prompt.fill(context, question.question))
        return text

    def facts_tokens(self, question: Question) -> int:
        """Tokens of the prompt with the facts alone."""
        return self.request.tokenizer.count(self.fill(" ".join(question.facts), question))

    def holds(self, question: Question) -> bool:
        """Whether a question is asked at this length: by the reference's limit on its lines, and because its prompt fits."""
        if self.background is None:
            return True
        most_lines = (self.request.length_tokens - PROMPT_TOKENS_OF_REFERENCE) // TOKENS_A_FACT
        return len(question.facts) + 1 <= most_lines and self.facts_tokens(question) <= self.prompt_limit

    def too_short(self) -> UserError:
        """The error for a length at which no question can be asked."""
        least = min(
            max(
                self.facts_tokens(question) + self.settings.max_new_tokens,
                PROMPT_TOKENS_OF_REFERENCE + TOKENS_A_FACT * (len(question.facts) + 1),
            )
            for question in self.questions.questions
        )
        return UserError(
            f"task {self.request.task}: no question fits {format_length(self.request.length_tokens)}; "
            f"the smallest length that holds one is {least} tokens (or 0k for the facts alone)"
        )


def _open_cell(request: RowRequest) -> _Cell:
    settings = protocol_settings("babilong", request.protocol, BabilongSettings)
    background = None
    if request.length_tokens:
        background = background_of(load_books(request.data), request.tokenizer, settings)
    questions = load_questions(request.data, request.task.removeprefix("babilong_"), request.seed)
    return _Cell(request, questions, task_prompt(request.task), settings, background)


def _row(cell: _Cell, number: int, question: Question) -> Row:
    context = _context(cell, question)
    prompt = cell.fill(context.text, question)
    request = cell.request
    places = _places(cell, prompt, context, question)
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=places.pop("prompt_tokens"),
        references=(question.answer,),
        max_new_tokens=cell.settings.max_new_tokens,
        stand_in=cell.questions.stand_in or (cell.background is not None and cell.background.books.stand_in),
        cluster=f"{cell.questions.source}/{question.story}",
        details={
            "question": question.question,
            "question_number": question.number,
            "scoring": cell.settings.scoring,
            "facts": len(question.facts),
            "fact_positions": list(context.fact_positions),
            "background_sentences": context.background_sentences,
            **places,
        },
    )


def _context(cell: _Cell, question: Question) -> Context:
    """The context that fills the room with a prompt of 97-100 % of the length, never more.

    Streams are named by task, question and seed, not by length: a longer context begins at the same place of the same books
    and has the facts at the same relative depths.
    """
    if cell.background is None:
        return mix(question.facts, [], tuple(0 for _ in question.facts))
    request, limit = cell.request, cell.prompt_limit
    task = request.task.removeprefix("babilong_")
    places = random_places(private_stream("babilong places", task, question.number, request.seed), len(question.facts))
    room = limit - cell.facts_tokens(question)
    taken = cell.background.take(
        private_stream("babilong background", task, question.number, request.seed),
        room + room // 50 + 64,  # a little more than the sums say, since the fit may correct them
        repeat=request.data.repeat_text,
        task=request.task,
    )
    for _ in range(MOST_FITS):
        sentences = cut_to(cell.background, taken, room)
        context = mix(question.facts, sentences, positions_among(places, len(sentences)))
        total = request.tokenizer.count(cell.fill(context.text, question))
        if limit - _allowed_rest(request.length_tokens) <= total <= limit:
            return context
        room += limit - total - (total > limit)  # one token less after an overrun, so that it can't come back the same
    raise ValueError(f"task {request.task}: {MOST_FITS} fits did not fill {limit} tokens; this is a bug in the task")


def _allowed_rest(length_tokens: int) -> int:
    """Tokens that may stay unused: within the fill of 97 %, and a word at least."""
    return max(8, int(length_tokens * (1 - LEAST_FILL) / 4))


def _places(cell: _Cell, prompt: str, context: Context, question: Question) -> dict[str, Any]:
    """Tokens of the prompt; token position and depth (0-100 % of the context) of each supporting fact."""
    encoding = cell.request.tokenizer.fast.backend_tokenizer.encode(prompt, add_special_tokens=False)
    begin = _context_begin(prompt, cell.prompt.contexts_before)
    end = prompt.rindex("</context>")
    first = _token_at(encoding, begin)
    tokens = max(1, _token_at(encoding, end) - first)
    positions = []
    following = begin
    starts = []
    for fact in question.facts:
        following = prompt.index(cell.settings.inside(fact), following)
        starts.append(following)
        following += len(fact)
    positions = [_token_at(encoding, starts[index]) for index in question.supporting]
    return {
        "prompt_tokens": len(encoding),
        "token_positions": positions,
        "depths": [round(100 * (position - first) / tokens, 2) for position in positions],
    }


def _context_begin(prompt: str, contexts_before: int) -> int:
    position = -1
    for _ in range(contexts_before + 1):
        position = prompt.index("<context>", position + 1)
    return position + len("<context>")


def _token_at(encoding: Any, character: int) -> int:
    """Number of the token that holds a character; of the next one that holds any, where a tokenizer drops blanks."""
    for position in range(character, character + 8):
        token = encoding.char_to_token(position)
        if token is not None:
            return int(token)
    raise ValueError(f"no token holds character {character} of the prompt; this is a bug in the task")
