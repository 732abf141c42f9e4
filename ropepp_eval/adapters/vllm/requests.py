"""From jobs to vLLM requests and back: what is asked, and what of the answer may be believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.ledger import Generated, SpanScore, written
from ropepp_eval.adapters.vllm.engine import Engine, EngineRequest
from ropepp_eval.adapters.windows import Span
from ropepp_eval.adapters.writer import Writer

PRIMED_TOKENS = 256
"""Contexts this long are read once without log-probabilities before what follows them is scored: vLLM would otherwise compute
the logits of the whole context."""


@dataclass(frozen=True)
class Wanted:
    """A span of a job that waits for its scores."""

    owner: tuple[int, int]
    span: Span

    @property
    def context(self) -> list[int]:
        """Tokens that may come from the prefix cache: what is cached gets no log-probabilities."""
        return [int(i) for i in self.span.ids[: self.span.first - 1]]


def score_spans(engine: Engine, jobs: Sequence[Job], *, caching: bool) -> Iterator[SpanScore]:
    """Scores of all spans, as they are made; spans that share a context stand together."""
    wanted = [Wanted((job.index, number), span) for job in jobs for number, span in enumerate(job.spans)]
    wanted.sort(key=lambda w: np.asarray(w.span.ids, dtype=">i4").tobytes())
    for begin in range(0, len(wanted), engine.rows):
        batch = wanted[begin : begin + engine.rows]
        if caching:
            _prime(engine, batch)
        again: list[EngineRequest] = []
        for request, output in engine.stream(_scoring(w, skip_cache=not caching) for w in batch):
            logprobs = believable_logprobs(output, request.key.span)
            if logprobs is None:
                again.append(_scoring(request.key, skip_cache=True, seconds=request.seconds))
            else:
                yield _score(request, logprobs)
        for request, output in engine.stream(again):
            yield _score(request, believable_logprobs(output, request.key.span))


def _prime(engine: Engine, batch: Sequence[Wanted]) -> None:
    contexts = {tuple(w.context) for w in batch if w.span.first > PRIMED_TOKENS}
    for _ in engine.stream(EngineRequest(None, list(ids), sampling_params(max_tokens=1)) for ids in sorted(contexts)):
        pass


def sampling_params(**settings: Any) -> Any:
    """vLLM's, greedy and without text; `settings` overrule."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    common = {"temperature": 0.0, "detokenize": False, "ignore_eos": True, "output_kind": RequestOutputKind.FINAL_ONLY}
    return SamplingParams(**{**common, **settings})


def _scoring(wanted: Wanted, *, skip_cache: bool, seconds: float = 0.0) -> EngineRequest:
    # The one most likely token beside the asked one settles ties that its rank leaves open.
    params = sampling_params(max_tokens=1, prompt_logprobs=1, flat_logprobs=True, skip_reading_prefix_cache=skip_cache)
    return EngineRequest(wanted, [int(i) for i in wanted.span.ids], params, seconds)


Scored = tuple[np.ndarray[Any, np.dtype[np.float32]], bool]


def believable_logprobs(output: Any, span: Span) -> Scored | None:
    """(log-probabilities of the scored tokens, whether each is the most likely one) of a finished request.

    None where vLLM took scored positions from its prefix cache: it computes no log-probabilities for those and leaves
    what was in memory in their place.
    """
    if (output.num_cached_tokens or 0) > span.first - 1:
        return None
    flat = output.prompt_logprobs
    if flat is None or len(flat) != len(span.ids):
        return None
    starts = flat.start_indices[span.first :]
    asked = [int(i) for i in span.ids[span.first :]]
    if [flat.token_ids[start] for start in starts] != asked:
        return None
    greedy = all(flat.ranks[s] == 1 or flat.token_ids[s + 1] == token for s, token in zip(starts, asked, strict=True))
    return np.asarray([flat.logprobs[start] for start in starts], dtype=np.float32), greedy


def _score(request: EngineRequest, scored: Scored | None) -> SpanScore:
    failure = None
    if scored is None:
        failure = Failure("engine", "NoLogprobs", "vLLM gave no log-probabilities for scored tokens; use --backend native")
        scored = (np.empty(0, np.float32), False)
    elif not np.isfinite(scored[0]).all():
        failure = Failure("model", "NonFinite", "a log-probability is not finite; --backend native names the layer")
    return SpanScore(request.key.owner, scored[0], scored[1], request.seconds, failure)


def generate(
    engine: Engine, jobs: Iterable[Job], tokenizer: Any, end_ids: frozenset[int], *, caching: bool
) -> Iterator[Generated]:
    """Greedy continuations, as they finish. Stop texts are found by our own `Writer`, as in the native adapter."""
    for request, output in engine.stream(_generation(job, tokenizer, end_ids, caching) for job in jobs):
        job, writer = request.key
        new = output.outputs[0]
        finite = all(
            math.isfinite(position[token].logprob) for token, position in zip(new.token_ids, new.logprobs, strict=True)
        )
        if not finite:
            request.stopped = True
            failure = Failure("model", "NonFinite", "a logit is not finite; --backend native names the layer")
            yield Generated(job, "", 0, None, request.seconds, failure)
        elif any(writer.add(token) for token in new.token_ids) or output.finished:
            request.stopped = True
            yield written(job, writer, request.seconds)


def _generation(job: Job, tokenizer: Any, end_ids: frozenset[int], caching: bool) -> EngineRequest:
    from vllm.sampling_params import RequestOutputKind

    params = sampling_params(
        max_tokens=job.budget,
        stop_token_ids=sorted(end_ids),
        logprobs=0,  # the chosen token's own: shows logits that are not finite, which argmax hides
        output_kind=RequestOutputKind.DELTA,
        skip_reading_prefix_cache=not caching,
    )
    return EngineRequest((job, Writer.of(job, tokenizer, end_ids)), [int(i) for i in job.prompt], params)
