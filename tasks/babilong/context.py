"""One context: facts between background sentences, cut so that the whole prompt fills its room."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ropepp_eval.tasks.babilong.background import Background, Sentence

LEAST_FILL = 0.97
MOST_FITS = 8
"""Sums of pieces miss the real count by a few tokens at junctions; each fit corrects the room by the last miss."""


@dataclass(frozen=True)
class Context:
    """The text between `<context>` and `</context>`, and where its facts went."""

    text: str
    fact_positions: tuple[int, ...]
    """For each fact the number of the background sentence before which it stands; the number of sentences for the end."""
    fact_offsets: tuple[int, ...]
    """For each fact its first character in `text`."""
    background_sentences: int


def mix(facts: tuple[str, ...], sentences: list[str], positions: tuple[int, ...]) -> Context:
    """Facts go, in story order, before the sentences that `positions` name; all pieces are joined by one blank."""
    pieces: list[str] = []
    offsets: list[int] = []
    length = 0
    following = 0
    for index in range(len(sentences) + 1):
        while following < len(facts) and positions[following] == index:
            offsets.append(length)
            pieces.append(facts[following])
            length += len(facts[following]) + 1
            following += 1
        if index < len(sentences):
            pieces.append(sentences[index])
            length += len(sentences[index]) + 1
    return Context(" ".join(pieces), positions, tuple(offsets), len(sentences))


def random_places(stream: random.Random, facts: int) -> list[float]:
    """A place in [0, 1) for each fact, rising; equal at every length, so a fact keeps its depth as the context grows."""
    return sorted(stream.random() for _ in range(facts))


def positions_among(places: list[float], sentences: int) -> tuple[int, ...]:
    """Each place as the number of the sentence it stands before, evenly spread over 0 .. `sentences`."""
    return tuple(int(place * (sentences + 1)) for place in places)


def cut_to(background: Background, taken: list[Sentence], room_tokens: int) -> list[str]:
    """Whole sentences that fit the room, and the beginning of the next, as the reference cuts its last one."""
    texts: list[str] = []
    for sentence in taken:
        if sentence.tokens > room_tokens:
            head = background.head(sentence, room_tokens)
            return [*texts, head] if head else texts
        room_tokens -= sentence.tokens
        texts.append(sentence.text)
    return texts
