"""Text to token ids as lm-eval 0.4.13's HFLM does it, and from there to what has to be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.windows import Ids, Span, as_ids, common_prefix, rolling_spans, sliding_spans
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.chat import THINK
from ropepp_eval.tokens.encoding import PieceEncoder
from ropepp_eval.tokens.ids import Tokenizer

AHEAD_TEXTS = 64
"""Requests whose texts are encoded together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One request in token ids."""

    index: int
    """Its number in the list of requests."""
    kind: str
    """lm-eval's request type, `sliding_window` or `whole_text`; a `rolling_window` is a `loglikelihood_rolling`."""
    prompt: Ids
    """What the ledger counts and hashes: the context, or the whole text of windows."""
    spans: tuple[Span, ...] = ()
    """What is scored."""
    budget: int = 0
    """Tokens to generate at most."""
    stops: tuple[str, ...] = ()
    """Texts at which generation ends."""
    reasoning_budget: int = 0
    """Of `budget` the tokens that may be thought before the answer."""
    thinks_already: bool = False
    """Whether the prompt itself opens the thinking."""
    cut: int = 0
    """Tokens cut from the prompt."""
    unscored: int = -1
    """A token id whose log-probability does not count, wherever it stands; -1: none."""
    error: Failure | None = field(default=None)

    @property
    def new_tokens(self) -> int:
        """Scored tokens."""
        return sum(len(span.ids) - span.first for span in self.spans)

    @property
    def capacity(self) -> int:
        """Places in the cache that a generation may need: its newest token is never read."""
        return len(self.prompt) + self.budget - 1

    @property
    def weight(self) -> int:
        """Tokens of the job if it ran alone: what its share of the time is guessed by."""
        return sum(span.inputs for span in self.spans) + (self.capacity if self.budget else 0)


class RequestError(Exception):
    """A request that can't be asked. Becomes the `Failure` of its row."""

    def __init__(self, stage: str, kind: str, message: str, prompt: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.failure = Failure(stage, kind, message)
        self.prompt = prompt


class Encoder:
    """Token ids of requests, and the checks that need no model."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        vocabulary: int,
        truncate: str | None = None,
        max_gen_toks: int = 256,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.vocabulary = vocabulary
        self.prefix_token_id = tokenizer.rules.prefix
        self.truncate = truncate
        self.max_gen_toks = max_gen_toks
        self._ahead: dict[str, list[int]] = {}
        self._pieces: PieceEncoder | None = None
        self._last_context: tuple[str, list[int]] = ("", [])

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` as it enters the model."""
        known = self._ahead.get(text)
        return self.tokenizer.prompt_ids(text) if known is None else known

    def encode_ahead(self, texts: Iterable[str]) -> None:
        """Encode many texts in one go, by pieces where that is exact, for the calls of `encode` that follow; `forget` drops them."""
        wanted = list(dict.fromkeys(texts))
        if self._pieces is None:
            self._pieces = PieceEncoder(self.tokenizer)
        for text, ids in zip(wanted, self._pieces.encode_each(wanted), strict=True):
            self._ahead[text] = self.tokenizer.with_special_tokens(text, ids)

    def forget(self) -> None:
        """Drop what `encode_ahead` kept."""
        self._ahead.clear()

    def jobs(self, requests: Sequence[Any]) -> list[Job]:
        """The jobs of lm-eval `Instance`s, see `job`."""
        jobs = []
        for begin in range(0, len(requests), AHEAD_TEXTS):
            part = requests[begin : begin + AHEAD_TEXTS]
            self.encode_ahead(text for request in part for text in texts_of(request))
            jobs += [self.job(begin + number, request) for number, request in enumerate(part)]
            self.forget()
        return jobs

    def pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of context and continuation: blanks at the seam move right, both are encoded together and then split."""
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        if not kept:
            ids = self.tokenizer.encode(continuation)
            if ids and ids[0] == self.prefix_token_id:
                return ids[:1], ids[1:]
            return [self.prefix()], ids
        if self._last_context[0] != kept:  # the choices of a question come one after another
            self._last_context = (kept, self.encode(kept))
        before = self._last_context[1]
        return before, self.encode(kept + continuation)[len(before) :]

    def prefix(self) -> int:
        """The token that stands before a text without context."""
        if self.prefix_token_id is None:
            message = "the context is empty and the tokenizer names no BOS or EOS token; give prefix_token_id"
            raise RequestError("request", "NoPrefixToken", message)
        return self.prefix_token_id

    def job(self, index: int, request: Any) -> Job:
        """The job of an lm-eval `Instance`. What can't be asked comes back with `error` set.

        Raises:
            UserError: the request type or a generation setting is not known: the same for every row, so nothing is run.
        """
        kind, arguments = request.request_type, request.args
        makers: dict[str, Callable[..., Job]] = {
            "loglikelihood": self._loglikelihood,
            "loglikelihood_rolling": self._rolling,
            "rolling_window": self._rolling,
            "sliding_window": self._sliding,
            "whole_text": self._whole_text,
            "generate_until": self._generation,
        }
        if kind not in makers:
            raise UserError(f"request type {kind!r} is not known; it may be {', '.join(sorted(makers))}")
        if self.tokenizer.chat is not None and planned_tokens(request) is None:
            raise UserError(
                "prompt_format chat is for rows of this project's tasks, which say what is asked; leave it out for other tasks"
            )
        try:
            job = makers[kind](index, *arguments)
            self._check_ids(job)
            _check_count(job, planned_tokens(request))
        except RequestError as error:
            return Job(index=index, kind=kind, prompt=as_ids(error.prompt), error=error.failure)
        return job

    def _check_ids(self, job: Job) -> None:
        parts = (job.prompt,) if job.kind == "sliding_window" else (job.prompt, *(span.ids for span in job.spans))
        for ids in parts:
            if len(ids) and (ids.max() >= self.vocabulary or ids.min() < 0):
                wrong = ids.max() if ids.max() >= self.vocabulary else ids.min()
                raise RequestError(
                    "request",
                    "TokenOutsideVocabulary",
                    f"token id {wrong} is outside the checkpoint's vocabulary of {self.vocabulary}; "
                    "name the tokenizer the checkpoint was trained with by tokenizer=",
                )

    def _loglikelihood(self, index: int, context: str, continuation: str) -> Job:
        before, after = self.pair(context, continuation)
        if not after:
            raise RequestError(
                "request",
                "EmptyContinuation",
                f"continuation {continuation[:40]!r} has no token of its own after its context; score at least one",
            )
        if len(after) > self.max_length:
            raise self._over(f"continuation of {len(after)} tokens", len(after))
        room = self.max_length + 1 - len(after)
        kept = self._fit(before, room, f"context of {len(before)} and continuation of {len(after)} tokens")
        return Job(
            index=index,
            kind="loglikelihood",
            prompt=as_ids(kept),
            spans=(Span(as_ids([*kept, *after]), len(kept)),),
            cut=len(before) - len(kept),
        )

    def _rolling(self, index: int, text: str, settings: dict[str, int] | None = None) -> Job:
        window = self.max_length if settings is None else int(settings["window"])
        if window > self.max_length:
            raise self._over(f"rolling window of {window} tokens", window)
        ids = as_ids(self.encode(text))
        spans = tuple(rolling_spans(ids, self.prefix(), window)) if len(ids) else ()
        return Job(index=index, kind="loglikelihood_rolling", prompt=ids, spans=spans)

    def _sliding(self, index: int, text: str, settings: dict[str, int]) -> Job:
        window, stride = int(settings["window"]), int(settings["stride"])
        if not 0 < stride <= window:
            raise UserError(f"sliding window of {window} tokens with a stride of {stride}; the stride may be 1 to {window}")
        if window > self.max_length:
            raise self._over(f"sliding window of {window} tokens", window)
        ids = as_ids(self.encode(text))
        return Job(index=index, kind="sliding_window", prompt=ids, spans=tuple(sliding_spans(ids, window, stride)))

    def _whole_text(self, index: int, context: str, continuation: str, settings: dict[str, int]) -> Job:
        """Every token behind the first is scored. What other continuations of `context` have in common with this one is a span of its
        own, which the engine computes once for all of them."""
        text = context + continuation
        ids, shared = self.encode(text), self.encode(context) if context else []
        kept = self.tokenizer.cut_left(text, ids, int(settings["window"]))
        cut = len(ids) - len(kept)
        if len(kept) > self.max_length + 1:
            raise self._over(f"text of {len(kept)} tokens", len(kept) - 1)
        own = common_prefix(as_ids(ids), as_ids(shared)) - cut
        split = own if 1 < own < len(kept) else 1
        spans = [Span(as_ids(kept[:split]), 1)] if split > 1 else []
        spans += [Span(as_ids(kept), split)] if len(kept) > 1 else []
        prompt = self.tokenizer.cut_left(context, shared, len(shared) - cut) if context else kept[:1]
        return Job(
            index=index,
            kind="whole_text",
            prompt=as_ids(prompt),
            spans=tuple(spans),
            cut=len(shared) - len(prompt) if context else 0,
            unscored=-1 if self.tokenizer.rules.eos is None else self.tokenizer.rules.eos,
        )

    def _generation(self, index: int, context: str, settings: dict[str, Any]) -> Job:
        budget, stops = generation_settings(settings, self.max_gen_toks)
        ids = self.encode(context) or [self.prefix()]
        if budget > self.max_length:
            raise self._over(f"generation budget of {budget} tokens", budget)
        kept = self._fit(ids, self.max_length + 1 - budget, f"prompt of {len(ids)} tokens and budget of {budget}")
        cut = len(ids) - len(kept)
        chat = self.tokenizer.chat
        return Job(
            index=index,
            kind="generate_until",
            prompt=as_ids(kept),
            budget=budget,
            stops=(*stops, *(chat.stops if chat else ())),
            reasoning_budget=chat.reasoning_budget if chat else 0,
            thinks_already=context.rstrip().endswith(THINK),
            cut=cut,
        )

    def _fit(self, ids: list[int], room: int, what: str) -> list[int]:
        """`ids` in `room` tokens: as they are, cut where that was asked for, else an error."""
        if len(ids) <= room:
            return ids
        if self.truncate == "left":
            return ids[-room:]
        if self.truncate == "middle":
            head = room // 2
            return ids[:head] + ids[len(ids) - (room - head) :]
        raise self._over(what, len(ids) + self.max_length - room, ids)

    def _over(self, what: str, need: int, prompt: Sequence[int] = ()) -> RequestError:
        return RequestError(
            "budget",
            "OverMaxLength",
            f"{what} need {need} positions, the model has {self.max_length}; shorten it, raise max_length, "
            "or cut it knowingly with truncate=left or truncate=middle",
            prompt,
        )


def planned_tokens(request: Any) -> int | None:
    """What the plan counted for the prompt of a request; None where it belongs to no row of ours."""
    doc = request.doc
    ours = isinstance(doc, Mapping) and {"prompt_tokens", "length_tokens", "row"} <= doc.keys()
    return int(doc["prompt_tokens"]) if ours else None


def _check_count(job: Job, planned: int | None) -> None:
    """The ledger: what is sent is what was counted."""
    sent = len(job.prompt) + job.cut
    if planned is not None and sent != planned:
        raise RequestError(
            "ledger",
            "OtherTokens",
            f"the plan counted {planned} prompt tokens and {sent} would enter the model; "
            "make the rows with the model's own tokenizer and settings (tokenizer, add_bos_token, prefix_token_id)",
            job.prompt.tolist(),
        )


def texts_of(request: Any) -> Iterator[str]:
    """Texts that `Encoder.job` will encode with the tokenizer's own rule for special tokens."""
    context = request.args[0]
    if request.request_type == "whole_text":
        yield from ([context] if context else [])
        yield context + request.args[1]
    elif request.request_type != "loglikelihood":
        yield context
    elif kept := context.rstrip():
        yield kept
        yield context + request.args[1]


def generation_settings(settings: dict[str, Any], default_budget: int) -> tuple[int, tuple[str, ...]]:
    """(budget in tokens, stop texts) of lm-eval's generation settings.

    Raises:
        UserError: sampling is asked for, or a setting is not known. Decoding here is greedy; nothing is ignored in silence.
    """
    rest = dict(settings)
    until = rest.pop("until", None) or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    aliases = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    budgets = [int(value) for name in aliases if (value := rest.pop(name, None)) is not None]
    budget = budgets[0] if budgets else default_budget
    if budget < 1:
        raise UserError(f"generation budget {budget} is below 1 token; raise max_gen_toks")
    greedy = {"do_sample": (False, None), "temperature": (0, 0.0, None), "num_beams": (1, None), "top_p": (1, 1.0, None)}
    for name, value in rest.items():
        if name not in greedy:
            known = ", ".join(["until", aliases[0], *greedy])
            raise UserError(f"generation setting {name}={value!r} is not supported; known are {known}; leave it out")
        if value not in greedy[name]:
            raise UserError(f"generation setting {name}={value!r} asks for more than greedy decoding; leave it out")
    return budget, tuple(stop for stop in stops if stop)
