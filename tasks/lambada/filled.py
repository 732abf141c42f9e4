"""`lambada_filled`: the same question, with other passages before the target passage until the window is full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.sliding_windows import SEPARATOR
from ropepp_eval.streams import private_stream
from ropepp_eval.tasks.lambada.passages import Passage, load_passages
from ropepp_eval.tokens.counting import PieceCounter, piece_counter
from ropepp_eval.tokens.fitting import Filling, fill_window, fitted_rows, longest_tail

_SMALLEST_TAIL_TOKENS = 8
"""A separator and a word: less room can't be filled."""


def filled_rows(request: RowRequest) -> list[Row]:
    """Row i asks for the last word of passage i, after other passages in an order of the row's own.

    The order does not depend on the length, so the passages next to the target are the same at every length: what changes
    from 4k to 8k is that more text stands before them.

    Raises:
        UserError: the length does not hold a target passage, or the corpus does not fill the length.
    """
    corpus = load_passages(request.data)
    tokens = request.tokenizer.count_each(corpus.texts)
    fillers = [Filler(passage.text, count) for passage, count in zip(corpus.passages, tokens, strict=True)]
    return fitted_rows(
        request.task,
        request.length_tokens,
        min(request.samples, len(corpus.passages)),
        lambda number: _row(request, number, corpus.passages[number], fillers, corpus.stand_in),
    )


@dataclass(frozen=True)
class Filler:
    """A passage that stands before the target, and its tokens counted alone."""

    text: str
    tokens: int


def _row(request: RowRequest, number: int, target: Passage, fillers: list[Filler], stand_in: bool) -> Row:
    order = list(range(len(fillers)))
    private_stream("lambada_filled", request.seed, number).shuffle(order)
    # Two real passages occur twice: the target's own text must not stand in its context.
    others = [fillers[index] for index in order if fillers[index].text != target.text]
    counter = piece_counter(request.tokenizer)
    filling = fill_window(
        request.task,
        request.length_tokens,
        request.entering_tokens,
        lambda room: _fill(target, others, room, counter),
        smallest_piece_tokens=_SMALLEST_TAIL_TOKENS,
    )
    prompt = filling.text.removesuffix(target.last_word)
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=prompt,
        prompt_tokens=counter.count(prompt),
        choices=(target.last_word,),
        gold=0,
        stand_in=stand_in,
        details={"passage": number, "filler_passages": len(filling.pieces)},
    )


def _fill(target: Passage, others: list[Filler], room_tokens: int, counter: PieceCounter) -> Filling:
    pieces = tuple(_nearest_first(others, room_tokens, counter))
    text = "".join(piece + SEPARATOR for piece in reversed(pieces)) + target.text
    return Filling(text, pieces, exhausted=len(pieces) == len(others))


def _nearest_first(others: list[Filler], room_tokens: int, counter: PieceCounter) -> Iterator[str]:
    """Passages that fit the room, from the one next to the target outwards; the last is cut at its front, at a word."""
    separator = counter.count(SEPARATOR)
    for other in others:
        if other.tokens + separator > room_tokens:
            tail = longest_tail(other.text, room_tokens - separator, counter.count)
            if tail:
                yield tail
            return
        room_tokens -= other.tokens + separator
        yield other.text
