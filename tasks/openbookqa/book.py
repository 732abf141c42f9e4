"""`openbookqa_book` and `openbookqa_nofact`: the book as context, with or without the fact behind the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ropepp_eval.data.left_out import noted
from ropepp_eval.hashing import hash_json
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.streams import private_stream
from ropepp_eval.tasks.openbookqa.corpus import Library, Question, left_out_of, load_library, load_questions
from ropepp_eval.tokens.counting import piece_counter
from ropepp_eval.tokens.fitting import Filling, fill_window, fitted_rows
from ropepp_eval.tokens.tokenizer import Tokenizer

DEPTHS_PERCENT = tuple(range(0, 101, 10))
"""Row i hides its fact at depth i modulo 11 of these, so every depth is asked equally often, and alike at every length."""
_SMALLEST_LINE_TOKENS = 16
"""Less room than this may be left where no fact fits it."""
_SKIPS = 50
"""How many facts may be passed over for one that still fits, so that short windows are filled too."""


def book_rows(request: RowRequest) -> list[Row]:
    """Row i asks test question i after a window of facts that holds the fact behind it.

    Raises:
        UserError: the length does not hold the question and its fact, or all facts together do not fill the length.
    """
    return _rows(request, with_fact=True)


def nofact_rows(request: RowRequest) -> list[Row]:
    """The rows of `openbookqa_book` without the line that holds the fact; nothing else differs."""
    return _rows(request, with_fact=False)


def _rows(request: RowRequest, *, with_fact: bool) -> list[Row]:
    questions, stand_in = load_questions(request.data, facts=True)
    shelf = Shelf(load_library(request.data), request.tokenizer)
    left_out = left_out_of(request.data, facts=True)
    return fitted_rows(
        request.task,
        request.length_tokens,
        min(request.samples, len(questions)),
        lambda number: _row(request, number, questions[number], shelf, with_fact, stand_in, left_out),
    )


class Shelf:
    """The library's texts with their token counts, each counted once for all rows."""

    def __init__(self, library: Library, tokenizer: Tokenizer) -> None:
        self.library = library
        statements = [question.statement for question in library.train]
        texts = [*library.book, *library.crowd, *statements]
        counts = tokenizer.count_each([text + "\n" for text in texts])
        self.tokens = dict(zip(texts, counts, strict=True))
        """Tokens of a line with its newline, counted alone."""

    def others(self, question: Question, seed: int, row: int) -> list[str]:
        """Every other line in an order of the row's own: book, crowd-sourced facts, train questions on other facts."""
        statements = [train.statement for train in self.library.train if train.fact != question.fact]
        lines: list[str] = []
        for kind, texts in (("book", self.library.book), ("crowd", self.library.crowd), ("train", statements)):
            shuffled = [text for text in texts if text != question.fact]
            private_stream("openbookqa_book", kind, seed, row).shuffle(shuffled)
            lines += shuffled
        return lines


@dataclass(frozen=True)
class Window:
    """Lines of facts with the gold one among them, and the question after them."""

    others: tuple[str, ...]
    fact: str
    depth_percent: int
    question: Question

    @property
    def fact_line(self) -> int:
        """How many lines stand before the fact."""
        return round(len(self.others) * self.depth_percent / 100)

    @property
    def before(self) -> str:
        """The lines before the fact."""
        return "".join(line + "\n" for line in self.others[: self.fact_line])

    def prompt(self, *, with_fact: bool = True) -> str:
        """One line a fact, an empty line, and the question as lm-eval asks it."""
        after = "".join(line + "\n" for line in self.others[self.fact_line :])
        return f"{self.before}{self.fact + chr(10) if with_fact else ''}{after}\n{self.question.stem}"


def _row(
    request: RowRequest, number: int, question: Question, shelf: Shelf, with_fact: bool, stand_in: bool, left_out: str
) -> Row:
    depth = DEPTHS_PERCENT[number % len(DEPTHS_PERCENT)]
    window = fitted_window(request, question, shelf, number, depth)
    prompt = window.prompt(with_fact=with_fact)
    counter = piece_counter(request.tokenizer)
    details = {
        "question": question.name,
        "other_lines": len(window.others),
        "depths": [float(depth)] if with_fact else [],
        "token_positions": [counter.count(window.before)] if with_fact else [],
    }
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=counter.count(prompt),
        choices=tuple(" " + choice for choice in question.choices),
        gold=question.gold,
        stand_in=stand_in,
        cluster=hash_json(question.fact)[:12],
        details=noted(details, left_out),
    )


def fitted_window(request: RowRequest, question: Question, shelf: Shelf, number: int, depth: int) -> Window:
    """The window that fills the length together with the longest choice.

    Raises:
        TooShort, UserError: see `fill_window`.
    """
    others = shelf.others(question, request.seed, number)
    longest_choice = max(question.choices, key=lambda choice: request.tokenizer.count(question.stem + " " + choice))

    def assemble(room_tokens: int) -> Filling:
        lines = tuple(_lines_that_fit(others, shelf.tokens, room_tokens))
        window = Window(lines, question.fact, depth, question)
        return Filling(f"{window.prompt()} {longest_choice}", lines, exhausted=len(lines) == len(others))

    filling = fill_window(
        request.task,
        request.length_tokens,
        request.entering_tokens,
        assemble,
        smallest_piece_tokens=_SMALLEST_LINE_TOKENS,
    )
    return Window(filling.pieces, question.fact, depth, question)


def _lines_that_fit(lines: Sequence[str], tokens: dict[str, int], room_tokens: int) -> Iterator[str]:
    """Lines in order while they fit; near the end those that don't are passed over, a bounded number of times."""
    skipped = 0
    for line in lines:
        if tokens[line] <= room_tokens:
            room_tokens -= tokens[line]
            yield line
        else:
            skipped += 1
            if skipped > _SKIPS:
                return
