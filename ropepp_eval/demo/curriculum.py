"""What is read when: stages of growing length, each a mixture of documents. A batch depends on (seed, step) alone."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ropepp_eval.demo.document import TEXT, Document
from ropepp_eval.demo.drills import pairs, repeats, word_lists
from ropepp_eval.demo.needles import dense_needles, needle_prompt, variable_chain
from ropepp_eval.demo.worlds import dense_world, listed_world, settled_world, wide_world, world_prompt
from ropepp_eval.streams import private_stream
from ropepp_eval.tokens.tokenizer import Tokenizer

KINDS: dict[str, Callable[[Document, random.Random, int], None]] = {
    "repeats": repeats,
    "pairs": pairs,
    "word_lists": word_lists,
    "dense_needles": dense_needles,
    "dense_world": dense_world,
    "settled_world": settled_world,
    "wide_world": wide_world,
    "listed_world": listed_world,
    "variable_chain": variable_chain,
    **{
        task: functools.partial(needle_prompt, task=task)
        for task in (
            "niah_single_1",
            "niah_single_2",
            "niah_multikey_1",
            "niah_multikey_2",
            "niah_multivalue",
            "niah_multiquery",
        )
    },
    **{task: functools.partial(world_prompt, task=task) for task in ("qa1", "qa2", "qa3")},
}
_LEAST_ROOM = 16
"""A row with less room left is filled up with a copy drill, cut where the row ends."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some share of all steps."""

    share: float
    length_tokens: int
    rows: int
    first: Mapping[str, float]
    """Weights by which a row's first document is drawn."""
    rest: Mapping[str, float]
    """Weights for what fills the row up."""


_BEGINNING = {
    "repeats": 2.5, "pairs": 2.0, "word_lists": 1.5, "dense_needles": 2.0, "dense_world": 1.0,
}  # fmt: skip
_DRILLS = {
    "repeats": 0.7, "pairs": 1.0, "word_lists": 0.4, "dense_needles": 1.5, "wide_world": 3.0, "settled_world": 1.5,
    "dense_world": 2.0, "listed_world": 1.0,
}  # fmt: skip
_LATE_DRILLS = {**_DRILLS, "wide_world": 1.5, "dense_world": 2.5, "listed_world": 2.0}
STAGES = (
    Stage(share=0.26, length_tokens=64, rows=24, first=_BEGINNING, rest=_BEGINNING),
    Stage(share=0.30, length_tokens=128, rows=16, first=_DRILLS, rest=_DRILLS),
    Stage(
        share=0.18,
        length_tokens=256,
        rows=12,
        first={"niah_single_1": 3.0, "niah_multikey_2": 1.0, "niah_single_2": 1.0, "listed_world": 3.0, "dense_world": 2.0},
        rest=_LATE_DRILLS,
    ),
    Stage(
        share=0.26,
        length_tokens=512,
        rows=8,
        first={
            "niah_single_1": 3.0, "niah_single_2": 1.0, "niah_multikey_1": 0.5, "niah_multikey_2": 1.0, "niah_multivalue": 0.3,
            "niah_multiquery": 0.3, "qa1": 4.0, "qa2": 0.7, "qa3": 0.4, "variable_chain": 0.4,
        },
        rest=_LATE_DRILLS,
    ),
)  # fmt: skip


def stage_of(step: int, steps: int) -> Stage:
    """The stage that step 0 .. steps - 1 belongs to."""
    end = 0.0
    for stage in STAGES:
        end += stage.share
        if step < round(end * steps):
            return stage
    return STAGES[-1]


@dataclass(frozen=True)
class Batch:
    """Rows of one length: `tokens` [rows, length + 1] and what predicting each counts."""

    tokens: list[list[int]]
    weights: list[list[float]]
    prompts: list[str]


def make_batch(tokenizer: Tokenizer, stage: Stage, seed: int, step: int) -> Batch:
    """The batch of one step."""
    rows = [_row(tokenizer, stage, private_stream("demo training", seed, step, row)) for row in range(stage.rows)]
    return Batch([r.tokens for r in rows], [r.weights for r in rows], [p for r in rows for p in r.prompts])


def batches(tokenizer: Tokenizer, seed: int, first: int, steps: int) -> Iterator[Batch]:
    """The batches of steps first .. steps - 1."""
    for step in range(first, steps):
        yield make_batch(tokenizer, stage_of(step, steps), seed, step)


def _row(tokenizer: Tokenizer, stage: Stage, stream: random.Random) -> Document:
    size = stage.length_tokens + 1
    document = Document(tokenizer)
    mixture = stage.first
    while len(document) < size:
        room = size - len(document)
        if room < _LEAST_ROOM:
            repeats(document, stream, room)
        else:
            kind = stream.choices(list(mixture), list(mixture.values()))[0]
            KINDS[kind](document, stream, room - 1)
        document.add_tokens([tokenizer.fast.eos_token_id], TEXT)
        mixture = stage.rest
    document.tokens, document.weights = document.tokens[:size], document.weights[:size]
    return document
