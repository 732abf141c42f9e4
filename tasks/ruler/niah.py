"""Needles in a haystack: the eight `niah_*` tasks. Draw -> choices at a size -> prompt.

Source: RULER v1 (NVIDIA/RULER c3f5e3b), `scripts/data/synthetic/niah.py`; the same choices give the same text to the byte.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ropepp_eval.tasks.ruler.family import chosen
from ropepp_eval.tasks.ruler.haystacks import Haystack
from ropepp_eval.tasks.ruler.settings import NiahTask
from ropepp_eval.text.word_pools import adjective_nouns


@dataclass(frozen=True, kw_only=True)
class Needle:
    """One hidden fact."""

    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class NiahChoices:
    """Every random choice behind a prompt."""

    needles: tuple[Needle, ...]
    """In the order in which they are hidden."""
    queries: tuple[str, ...]
    """Keys asked for, in the order of the question."""
    answers: tuple[str, ...]
    """All values of the asked keys."""
    haystack_units: int
    """Words (essay), lines (noise) or further needles (needle)."""
    places: tuple[int, ...]
    """Essay: the sentence before which each needle goes. Lines: where each goes, one insertion after the other."""
    distractors: tuple[Needle, ...] = ()
    """The further needles of a needle haystack."""


@dataclass
class NiahDraw:
    """The choices of a row that do not depend on how much haystack fits."""

    task: NiahTask
    needles: tuple[Needle, ...]
    queries: tuple[str, ...]
    answers: tuple[str, ...]
    depths_percent: tuple[int, ...]
    """Essay: depth of each needle, 0-100, rising."""
    shares: tuple[float, ...]
    """Lines: place of each needle as a share of the lines, falling."""
    further: list[Needle]
    """Further needles, for a haystack of needles: the first ones are used. None has a key that is asked for."""

    def at(self, units: int, haystack: Haystack | None) -> NiahChoices:
        """The choices at a size."""
        if self.task.haystack == "essay":
            assert haystack is not None
            sentences = haystack.sentences(units)
            places = tuple(int(sentences * (depth / 100)) for depth in self.depths_percent)
        else:
            places = tuple(int(share * units) for share in self.shares)
        distractors = tuple(self.further[:units])
        return NiahChoices(
            needles=self.needles, queries=self.queries, answers=self.answers, haystack_units=units, places=places,
            distractors=distractors,
        )  # fmt: skip


def draw_pool(task: NiahTask, stream: random.Random, size: int) -> list[Needle]:
    """The needles among which the rows of a cell choose their further needles, all with different keys."""
    keys = _distinct(lambda: _draw(task.key_type, stream), size)
    return [Needle(key=key, value=_draw(task.value_type, stream)) for key in keys]


def draw_niah(
    task: NiahTask, stream: Callable[[str], random.Random], depth_steps: int, pool: Sequence[Needle] = (), most: int = 0
) -> NiahDraw:
    """The random choices of a row; `stream(part)` gives the private stream of a part of it.

    `most` further needles are chosen from `pool`.
    """
    words = stream("needles")
    keys = _distinct(lambda: _draw(task.key_type, words), task.keys)
    values = {key: [_draw(task.value_type, words) for _ in range(task.values)] for key in keys}
    needles = [Needle(key=key, value=value) for key in keys for value in values[key]]
    words.shuffle(needles)
    queries = tuple(words.sample(keys, task.queries)) if task.queries > 1 else (keys[0],)
    places = stream("places")
    steps = [round(100 * i / (depth_steps - 1)) for i in range(depth_steps)]
    return NiahDraw(
        task=task,
        needles=tuple(needles),
        queries=queries,
        answers=tuple(value for key in queries for value in values[key]),
        depths_percent=tuple(sorted(places.sample(steps, len(needles)))),
        shares=tuple(sorted((places.random() for _ in needles), reverse=True)),
        further=[needle for needle in chosen(stream("distractors"), pool, most) if needle.key not in queries],
    )


def _draw(kind: str, stream: random.Random) -> str:
    if kind == "numbers":
        return str(stream.randint(10**6, 10**7 - 1))
    if kind == "words":
        return adjective_nouns().draw(stream)
    return str(uuid.UUID(int=stream.getrandbits(128), version=4))


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A rendered prompt."""

    text: str
    needle_offsets: tuple[int, ...]
    """Character of `text` at which each needle begins, in the order in which they were hidden."""


def needle_line(needle: Needle, task: NiahTask, texts: dict[str, Any]) -> str:
    """The sentence that tells a needle."""
    line: str = texts["needle"].format(value_type=task.value_type, key=needle.key, value=needle.value)
    return line


def render_niah(
    choices: NiahChoices,
    task: NiahTask,
    texts: dict[str, Any],
    haystack: Haystack | None,
    known_lines: Mapping[str, str] | None = None,
) -> Prompt:
    """The prompt of these choices, equal to the reference's byte for byte.

    Args:
        choices: what was drawn.
        task: which needle task.
        texts: the `niah` entry of `protocols.yaml`.
        haystack: the essays, for essay tasks.
        known_lines: the lines of the further needles by their keys, where they were made before.
    """
    sentences = [needle_line(needle, task, texts) for needle in choices.needles]
    if task.haystack == "essay":
        assert haystack is not None
        parts, needle_parts = _essay_parts(choices, sentences, haystack)
        glue = " "
    else:
        parts, needle_parts = _line_parts(choices, sentences, task, texts, known_lines)
        glue = "\n"
    head, tail = frame(choices, task, texts)
    begins = (len(head) + sum(map(len, parts[:i])) + i * len(glue) for i in needle_parts)
    return Prompt(text=head + glue.join(parts) + tail, needle_offsets=tuple(begins))


def _essay_parts(choices: NiahChoices, sentences: list[str], haystack: Haystack) -> tuple[list[str], list[int]]:
    """Text and needles in turn, text first and last; an empty text keeps its blanks, as in the reference."""
    bounds = [0, *choices.places, haystack.sentences(choices.haystack_units)]
    texts = [haystack.part(a, b, choices.haystack_units) for a, b in pairwise(bounds)]
    parts = [texts[0]]
    for sentence, text in zip(sentences, texts[1:], strict=True):
        parts += [sentence, text]
    return parts, list(range(1, len(parts), 2))


def _line_parts(
    choices: NiahChoices, sentences: list[str], task: NiahTask, texts: dict[str, Any], known: Mapping[str, str] | None
) -> tuple[list[str], list[int]]:
    """Lines, each needle inserted at its place after the ones before it were."""
    if task.haystack == "noise":
        lines = [texts["noise"]] * choices.haystack_units
    elif known:
        lines = [known[needle.key] for needle in choices.distractors]
    else:
        lines = [needle_line(needle, task, texts) for needle in choices.distractors]
    places: list[int] = []
    for place, sentence in zip(choices.places, sentences, strict=True):
        lines.insert(place, sentence)
        places = [other + (other >= place) for other in places] + [place]
    return lines, places


def frame(choices: NiahChoices, task: NiahTask, texts: dict[str, Any]) -> tuple[str, str]:
    """What stands before and after the haystack; with one answer in the singular."""
    template, value_type = texts["template"] + texts["answer_prefix"], task.value_type
    if len(choices.answers) == 1:
        for plural, singular in texts["singular"]:
            template = template.replace(plural, singular)
        value_type = value_type[:-1]
    *others, last = choices.queries
    query = f"{', '.join(others)}, and {last}" if others else last
    head, tail = template.split("{context}")
    return head.format(value_type=value_type), tail.format(value_type=value_type, query=query)
