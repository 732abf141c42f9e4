"""Text to token ids as lm-eval 0.4.13's HFLM does it, and from there to what has to be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.windows import Ids, Span, as_ids, rolling_spans, sliding_spans
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.encoding import PieceEncoder
from ropepp_eval.tokens.tokenizer import Tokenizer

AHEAD_TEXTS = 64
"""Requests whose texts are encoded together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One request in token ids."""

    index: int
    """Its number in the list of requests."""
    kind: str
    """lm-eval's request type, or `sliding_window`; a `rolling_window` is a `loglikelihood_rolling`."""
    prompt: Ids
    """What the ledger counts and hashes: the context, or the whole text of windows."""
    spans: tuple[Span, ...] = ()
    """What is scored."""
    budget: int = 0
    """Tokens to generate at most."""
    stops: tuple[str, ...] = ()
    """Texts at which generation ends."""
    cut: int = 0
    """Tokens cut from the prompt."""
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
        tokenizer: Any,
        *,
        max_length: int,
        vocabulary: int,
        prefix_token_id: int | None,
        add_bos_token: bool | None = None,
        truncate: str | None = None,
        max_gen_toks: int = 256,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.vocabulary = vocabulary
        self.prefix_token_id = prefix_token_id
        self.add_bos_token = add_bos_token
        self.truncate = truncate
        self.max_gen_toks = max_gen_toks
        self._ahead: dict[str, list[int]] = {}
        self._pieces: PieceEncoder | None = None
        self._plain: dict[bool, bool] = {}  # whether the backend alone gives the tokenizer's ids, by special tokens
        self._last_context: tuple[str, list[int]] = ("", [])
        self._prefix_text: str | None = None if prefix_token_id is None else tokenizer.decode([prefix_token_id])

    def encode(self, text: str, *, special: bool | None = None) -> list[int]:
        """Token ids of `text`.

        Args:
            special: whether the tokenizer may add its special tokens. None: as `add_bos_token` says, which by default leaves
                it to the tokenizer's own rule; never where the text begins with the prefix token already.
        """
        if special is None:
            special = self._special(text)
            known = self._ahead.get(text)
            if known is not None:
                return known
        ids: list[int] = self.tokenizer.encode(text, **({} if special is None else {"add_special_tokens": special}))
        return ids

    def _special(self, text: str) -> bool | None:
        return False if self._prefix_text and text.startswith(self._prefix_text) else self.add_bos_token

    def encode_ahead(self, texts: Iterable[str]) -> None:
        """Encode many texts in one go, by pieces where that is exact, for the calls of `encode` that follow; `forget` drops them."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None or not hasattr(backend, "encode_batch_fast"):
            return
        wanted: dict[bool, list[str]] = {}
        for text in dict.fromkeys(texts):
            wanted.setdefault(self._special(text) is not False, []).append(text)
        for special, group in wanted.items():
            for begin in range(0, len(group), AHEAD_TEXTS):
                part = group[begin : begin + AHEAD_TEXTS]
                encoded = self._in_one_go(part, special)
                if special not in self._plain:
                    self._plain[special] = encoded[0] == self.encode(part[0])
                if not self._plain[special]:
                    break  # this tokenizer does more than its backend: one by one, as lm-eval does
                self._ahead.update(zip(part, encoded, strict=True))

    def _in_one_go(self, texts: list[str], special: bool) -> list[list[int]]:
        """Ids by the tokenizer's backend alone: of pieces where they add up and nothing is put around a text, else whole, on all cores."""
        backend = self.tokenizer.backend_tokenizer
        if self._pieces is None:
            self._pieces = PieceEncoder(Tokenizer(self.tokenizer, ""))
        if self._pieces.independent and not (special and backend.num_special_tokens_to_add(is_pair=False)):
            return self._pieces.encode_each(texts)
        return [entry.ids for entry in backend.encode_batch_fast(texts, add_special_tokens=special)]

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
            ids = self.encode(continuation, special=False)
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
            "generate_until": self._generation,
        }
        if kind not in makers:
            raise UserError(f"request type {kind!r} is not known; it may be {', '.join(sorted(makers))}")
        try:
            job = makers[kind](index, *arguments)
            self._check_ids(job)
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

    def _generation(self, index: int, context: str, settings: dict[str, Any]) -> Job:
        budget, stops = generation_settings(settings, self.max_gen_toks)
        ids = self.encode(context) or [self.prefix()]
        if budget > self.max_length:
            raise self._over(f"generation budget of {budget} tokens", budget)
        kept = self._fit(ids, self.max_length + 1 - budget, f"prompt of {len(ids)} tokens and budget of {budget}")
        cut = len(ids) - len(kept)
        return Job(index=index, kind="generate_until", prompt=as_ids(kept), budget=budget, stops=stops, cut=cut)

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


def texts_of(request: Any) -> Iterator[str]:
    """Texts that `Encoder.job` will encode with the tokenizer's own rule for special tokens."""
    context = request.args[0]
    if request.request_type != "loglikelihood":
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
