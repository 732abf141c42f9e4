"""From scores and texts to answers with their ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ropepp_eval.adapters.answers import Answer, Failure, Window, hash_ids
from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.writer import Writer


@dataclass(frozen=True)
class Generated:
    """One finished generation, whichever engine made it."""

    job: Job
    text: str | None
    tokens: int
    finish: str | None
    """`stop`, `eos` or `length`."""
    seconds: float
    failure: Failure | None = None
    reasoning_tokens: int = 0
    """Of `tokens` those before the answer."""


@dataclass(frozen=True, eq=False)
class SpanScore:
    """Scores of one span, whichever engine made them."""

    owner: tuple[int, int]
    """(number of the job, number of its span)."""
    logprobs: np.ndarray[Any, np.dtype[np.float32]]
    """[scored tokens], natural logarithm."""
    greedy: bool
    """Whether every scored token is the most likely one."""
    seconds: float
    failure: Failure | None = None


def ledger(job: Job) -> Answer:
    """An answer of `job` without a response yet."""
    return Answer(None, len(job.prompt), 0, job.budget, None, job.cut, 0.0, hash_ids(job.prompt))


def failed(job: Job, failure: Failure, seconds: float = 0.0) -> Answer:
    """The answer of a job that has no response."""
    return replace(ledger(job), error=failure, seconds=seconds)


def generated(done: Generated) -> Answer:
    """The answer of a finished generation."""
    if done.failure is not None:
        return failed(done.job, done.failure, done.seconds)
    return replace(
        ledger(done.job),
        response=done.text,
        new_tokens=done.tokens,
        finish=done.finish,
        seconds=done.seconds,
        reasoning_tokens=done.reasoning_tokens,
    )


def written(job: Job, writer: Writer, seconds: float) -> Generated:
    """The generation of a writer that is done."""
    return Generated(
        job, writer.result(), len(writer.ids), writer.finish or "length", seconds, reasoning_tokens=writer.reasoning_tokens
    )


def scored(job: Job, scores: Sequence[SpanScore]) -> Answer:
    """The answer of a scoring job from the scores of its spans, in order."""
    seconds = sum(score.seconds for score in scores)
    for score in scores:
        if score.failure is not None:
            return failed(job, score.failure, seconds)
    base = replace(ledger(job), new_tokens=job.new_tokens, finish="scored", seconds=seconds)
    if job.kind == "sliding_window":
        windows = [
            Window(span.begin, span.begin + len(span.ids), tuple(score.logprobs.tolist()))
            for span, score in zip(job.spans, scores, strict=True)
        ]
        return replace(base, response=windows)
    total = sum(
        float(score.logprobs[span.ids[span.first :] != job.unscored].sum(dtype=np.float64))
        for span, score in zip(job.spans, scores, strict=True)
    )
    if job.kind == "loglikelihood_rolling":
        return replace(base, response=total)
    return replace(base, response=(total, all(score.greedy for score in scores)))
