"""One context: facts between background sentences, cut so that the whole prompt fills its length."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ropepp_eval.data.babi import Question
from ropepp_eval.streams import private_stream
from ropepp_eval.tasks.babilong.background import Background, Sentence
from ropepp_eval.tasks.babilong.cell import Cell

_MOST_REST = 0.0075
"""Share of the length that may stay unused; the promise is 0.03 at most."""
_LEAST_REST_TOKENS = 8
"""Less room than this can't always be filled with whole words."""
_CLOSE_TOKENS = 4
"""The last sentence is cut so that it leaves this at most."""
_MOST_FITS = 8
"""Sums of pieces miss the real count by a few tokens at junctions; each fit corrects the room by the last miss."""


@dataclass(frozen=True)
class Context:
    """The text between `<context>` and `</context>`, and where its facts went."""

    text: str
    fact_positions: tuple[int, ...]
    """For each fact the number of the background sentence before which it stands; the number of sentences for the end."""
    background_sentences: int


def mix(facts: tuple[str, ...], sentences: list[str], positions: tuple[int, ...]) -> Context:
    """Facts go, in story order, before the sentences that `positions` (rising) name; pieces are joined by one blank."""
    pieces: list[str] = []
    taken = 0
    for fact, position in zip(facts, positions, strict=True):
        pieces += [*sentences[taken:position], fact]
        taken = position
    return Context(" ".join([*pieces, *sentences[taken:]]), positions, len(sentences))


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the context in it."""

    text: str
    tokens: int
    context: Context


def make_prompt(cell: Cell, question: Question, context: Context) -> Prompt:
    """The prompt of a question in a context, counted."""
    text = cell.fill(context.text, question.question)
    return Prompt(text, cell.count(text), context)


def facts_alone(cell: Cell, question: Question) -> Prompt:
    """The prompt at length 0."""
    return make_prompt(cell, question, mix(question.facts, [], (0,) * len(question.facts)))


def fitted_prompt(cell: Cell, question: Question) -> Prompt:
    """The prompt that, with the generation budget, fills 97-100 % of the length, never more.

    Streams are named by task, question and seed, not by length: a longer context begins at the same place of the same books
    and has the facts at the same relative depths.

    Raises:
        UserError: the books hold less text than the length needs.
    """
    name = (cell.task, question.number, cell.request.seed)
    places = random_places(private_stream("babilong places", *name), len(question.facts))
    background = cell.background
    room = cell.prompt_limit - facts_alone(cell, question).tokens
    taken = background.take(
        private_stream("babilong background", *name),
        room,
        repeat=cell.request.data.repeat_text,
        task=cell.request.task,
    )
    rest = max(_LEAST_REST_TOKENS, int(cell.request.length_tokens * _MOST_REST))
    for _ in range(_MOST_FITS):
        sentences = cut_to(background, taken, room)
        prompt = make_prompt(cell, question, mix(question.facts, sentences, positions_among(places, len(sentences))))
        unused = cell.prompt_limit - prompt.tokens
        if 0 <= unused <= rest:
            return prompt
        room += unused - (unused < 0)  # one token less after an overrun, so that it can't come back the same
    raise ValueError(f"task {cell.request.task}: {_MOST_FITS} fits did not fill the length; this is a bug in the task")


def random_places(stream: random.Random, facts: int) -> list[float]:
    """A place in [0, 1) for each fact, rising; equal at every length, so a fact keeps its depth as the context grows."""
    return sorted(stream.random() for _ in range(facts))


def positions_among(places: list[float], sentences: int) -> tuple[int, ...]:
    """Each place as the number of the sentence it stands before, evenly spread over 0 .. `sentences`."""
    return tuple(int(place * (sentences + 1)) for place in places)


def cut_to(background: Background, taken: list[Sentence], room_tokens: int) -> list[str]:
    """Whole sentences that fit the room, and the beginning of one more, as the reference cuts its last one.

    A sentence whose words do not fill the rest (a letter's signature with a wide gap) is passed over.
    """
    texts: list[str] = []
    for sentence in taken:
        if room_tokens <= _CLOSE_TOKENS:
            break
        if sentence.tokens <= room_tokens:
            texts.append(sentence.text)
            room_tokens -= sentence.tokens
            continue
        head = background.head(sentence, room_tokens)
        if head and room_tokens - background.count(head) <= _CLOSE_TOKENS:
            return [*texts, head]
    return texts
