"""The lm-eval model `ropepp`: log-likelihoods, perplexities and greedy generation with a torch model, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from ropepp_eval.adapters.answers import Answer, Failure, Window, hash_ids
from ropepp_eval.adapters.encoding import Encoder, Job, Span
from ropepp_eval.adapters.generation import Writer
from ropepp_eval.adapters.scoring import target_logprobs
from ropepp_eval.errors import UserError

TRUNCATE = (None, "left", "middle")


class NativeLM(LM):  # type: ignore[misc]
    """A causal language model of ours, or any that behaves like transformers' LlamaForCausalLM.

    >>> lm = NativeLM("models/random/rope", tokenizer="gpt2", dtype="float32")      # doctest: +SKIP
    >>> lm.loglikelihood([Instance("loglikelihood", {}, ("The sky is", " blue"), 0)])  # doctest: +SKIP
    [(-6.2, False)]
    """

    def __init__(
        self,
        pretrained: str,
        *,
        tokenizer: str | None = None,
        position: str | None = None,
        dtype: str | torch.dtype = "auto",
        device: str | None = "cpu",
        attention: str = "sdpa",
        **settings: Any,
    ) -> None:
        """Load a checkpoint.

        Args:
            pretrained: folder or hub id.
            tokenizer: folder or hub id; None takes the checkpoint's own.
            position, dtype, attention: see `ropepp_eval.load_checkpoint`.
            device: a torch device; `auto` or None takes the first GPU, else the CPU.
            settings: see `from_objects`.

        Raises:
            UserError: checkpoint or tokenizer can't be used, or a setting has no such value.
        """
        from ropepp_eval.checkpoints import load_checkpoint
        from ropepp_eval.tokenizer import load_tokenizer

        loaded = load_tokenizer(str(tokenizer or pretrained))
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device in (None, "auto") else str(device)
        model = load_checkpoint(pretrained, position=position, dtype=dtype, device=where, attention=attention)
        super().__init__()
        self._set_up(model, loaded.fast, name=str(pretrained), **settings)

    @classmethod
    def from_objects(cls, model: Any, tokenizer: Any, **settings: Any) -> Self:
        """An adapter around a loaded model and a `transformers` tokenizer.

        Args:
            settings: max_length (default the config's max_position_embeddings), truncate (None, `left`, `middle`),
                add_bos_token (None: the tokenizer's own rule, as lm-eval's HFLM), prefix_token_id, max_gen_toks (256).
        """
        self = cls.__new__(cls)
        LM.__init__(self)
        self._set_up(model, tokenizer, **settings)
        return self

    def _set_up(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "",
        max_length: int | str | None = None,
        truncate: str | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | str | None = None,
        max_gen_toks: int | str = 256,
        batch_size: int | str | None = None,
        max_batch_size: int | str | None = None,
        chunk_tokens: int | str | None = None,
    ) -> None:
        if truncate not in TRUNCATE:
            raise UserError(f"truncate {truncate!r} is not known; it may be left or middle, or be left out")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self._device = next(model.parameters()).device
        self._max_length = int(max_length) if max_length else int(model.config.max_position_embeddings)
        self.batch_size = batch_size
        self.chunk_tokens = chunk_tokens
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.prefix_token_id = prefix if prefix_token_id is None else int(prefix_token_id)
        self.encoder = Encoder(
            tokenizer,
            max_length=self._max_length,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            prefix_token_id=self.prefix_token_id,
            add_bos_token=add_bos_token,
            truncate=truncate,
            max_gen_toks=int(max_gen_toks),
        )
        self.end_ids = end_ids(model, tokenizer)

    @property
    def max_length(self) -> int:
        """Positions the model may use: tokens that enter it, so one token more may be predicted."""
        return self._max_length

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, for lm-eval's request cache."""
        return str(getattr(self.tokenizer, "name_or_path", "")).replace("/", "__")

    @property
    def eot_token_id(self) -> int | None:
        """The tokenizer's EOS."""
        eos: int | None = self.tokenizer.eos_token_id
        return eos

    def get_model_info(self) -> dict[str, Any]:
        """What ran: for lm-eval's results and for `run.json`."""
        weights = next(self.model.parameters())
        return {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(weights.dtype).removeprefix("torch."),
            "model_name": self.name,
            "device": str(weights.device),
            "attention": self.model.config._attn_implementation,
            "max_length": self.max_length,
        }

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood, is_greedy) of each continuation. Raises UserError where a request has no answer."""
        return self._responses(requests)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text. Raises UserError where a request has no answer."""
        return self._responses(requests)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuation of each prompt up to its first stop text. Raises UserError where a request has no answer."""
        return self._responses(requests)

    def _responses(self, requests: list[Instance]) -> list[Any]:
        responses: list[Any] = [None] * len(requests)
        for index, answer in self.answers(requests):
            request = requests[index]
            if answer.error is not None:
                raise UserError(f"{request.request_type} request {index}: {answer.error.message}")
            responses[index] = answer.response
            self.cache_hook.add_partial(request.request_type, request.args, answer.response)
        return responses

    def answers(self, requests: list[Instance]) -> Iterator[tuple[int, Answer]]:
        """(number of the request, answer), as answers are made. A request that fails has `error` set; the others go on.

        Raises:
            UserError: a request type or generation setting is not known.
        """
        jobs = [self.encoder.job(index, request) for index, request in enumerate(requests)]
        for job in jobs:
            started = time.perf_counter()
            answer = refused(job) if job.error is not None else self._answer(job)
            yield job.index, replace(answer, seconds=time.perf_counter() - started)

    @torch.inference_mode()
    def _answer(self, job: Job) -> Answer:
        return self._generated(job) if job.kind == "generate_until" else self._scored(job)

    def _scored(self, job: Job) -> Answer:
        results = [self._score_span(span) for span in job.spans]
        if not all(bool(torch.isfinite(logprobs).all()) for logprobs, _ in results):
            return failed(job, Failure("model", "NonFinite", "a log-probability is not finite"))
        return scored(job, results)

    def _score_span(self, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.tensor([span.ids], device=self._device)
        hidden = self.model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        return target_logprobs(self.model.lm_head, hidden[0, span.first - 1 :], ids[0, span.first :])

    def _generated(self, job: Job) -> Answer:
        writer = Writer(self.tokenizer, job.budget, job.stops, self.end_ids)
        inputs, cache = torch.tensor([job.prompt], device=self._device), None
        while True:
            out = self.model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits, cache = out.logits[0, -1], out.past_key_values
            if not torch.isfinite(logits).all():
                return failed(job, Failure("model", "NonFinite", "a logit is not finite"))
            inputs = logits.argmax()[None, None]
            if writer.add(int(inputs)):
                break
        done = writer.result()
        return replace(ledger(job), response=done.text, new_tokens=done.tokens, finish=done.finish)


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a generation: the tokenizer's EOS and the generation config's."""
    named = [tokenizer.eos_token_id, getattr(getattr(model, "generation_config", None), "eos_token_id", None)]
    return frozenset(i for entry in named for i in (entry if isinstance(entry, list) else [entry]) if i is not None)


def ledger(job: Job) -> Answer:
    """An answer of `job` without a response yet."""
    return Answer(None, len(job.prompt), 0, job.budget, None, job.cut, 0.0, hash_ids(job.prompt))


def failed(job: Job, failure: Failure) -> Answer:
    """The answer of a job that has no response."""
    return replace(ledger(job), error=failure)


def refused(job: Job) -> Answer:
    """The answer of a job that could not be asked."""
    assert job.error is not None
    return failed(job, job.error)


def scored(job: Job, results: list[tuple[torch.Tensor, torch.Tensor]]) -> Answer:
    """The answer of a scoring job from (log-probabilities, is most likely) of each of its spans."""
    base = replace(ledger(job), new_tokens=job.new_tokens, finish="scored")
    if job.kind == "sliding_window":
        windows = [
            Window(span.begin, span.begin + len(span.ids), tuple(logprobs.tolist()))
            for span, (logprobs, _) in zip(job.spans, results, strict=True)
        ]
        return replace(base, response=windows)
    total = sum(float(logprobs.sum()) for logprobs, _ in results)
    if job.kind == "loglikelihood_rolling":
        return replace(base, response=total)
    return replace(base, response=(total, all(bool(greedy.all()) for _, greedy in results)))
