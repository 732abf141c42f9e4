"""The lm-eval model `ropepp`: log-likelihoods, perplexities and greedy generation with a torch model, in this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from ropepp_eval.adapters.answers import Answer, Window
from ropepp_eval.adapters.encoding import Encoder, Job
from ropepp_eval.adapters.forward import Forward
from ropepp_eval.adapters.generation import Generator, capacity_of
from ropepp_eval.adapters.grouping import Limits
from ropepp_eval.adapters.ledger import failed, generated, scored
from ropepp_eval.adapters.memory import available_memory, default_chunk, plan_memory
from ropepp_eval.adapters.model_facts import end_ids, shapes_of
from ropepp_eval.adapters.scoring import Scorer, SpanScore
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.adapters.work import WorkPlan, count_work, weight_of
from ropepp_eval.errors import UserError

GENERATION_ROWS = {"cpu": 16, "cuda": 64}
BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
CPU_CACHE_TOKENS = 32768


class NativeLM(LM):  # type: ignore[misc]
    """A causal language model of ours, or any that behaves like transformers' LlamaForCausalLM.

    >>> lm = NativeLM("models/demo/rope", tokenizer="gpt2", dtype="float32")      # doctest: +SKIP
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
            settings: fields of `ropepp_eval.adapters.settings.Settings`; texts are read as --model_args gives them.

        Raises:
            UserError: checkpoint or tokenizer can't be used, or a setting has no such value.
        """
        from ropepp_eval.checkpoints import load_checkpoint
        from ropepp_eval.tokens.tokenizer import load_tokenizer

        checked = Settings.of(settings)
        loaded = load_tokenizer(str(tokenizer or pretrained))
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device in (None, "auto") else str(device)
        model = load_checkpoint(pretrained, position=position, dtype=dtype, device=where, attention=attention)
        super().__init__()
        self.position = position
        self._set_up(model, loaded.fast, checked, name=str(pretrained))

    @classmethod
    def from_objects(cls, model: Any, tokenizer: Any, **settings: Any) -> Self:
        """An adapter around a loaded model and a `transformers` tokenizer; settings as in the constructor."""
        self = cls.__new__(cls)
        LM.__init__(self)
        self.position = None
        self._set_up(model, tokenizer, Settings.of(settings), name="")
        return self

    def _set_up(self, model: Any, tokenizer: Any, settings: Settings, *, name: str) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.settings = settings
        self.events: list[str] = []
        """What happened on the way that the user should know, such as batches halved for want of memory."""
        self.work: WorkPlan | None = None
        """The plan of the requests at hand, with the time left."""
        self._device = next(model.parameters()).device
        self._max_length = settings.max_length or int(model.config.max_position_embeddings)
        self.batch_size = settings.batch_size
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.prefix_token_id = prefix if settings.prefix_token_id is None else settings.prefix_token_id
        self.end_ids = end_ids(model, tokenizer)
        self.shapes = shapes_of(model)
        attention = str(model.config._attn_implementation)
        usual = default_chunk(self.shapes, str(model.dtype).removeprefix("torch."), self._device.type, attention)
        self.forward = Forward(model, settings.chunk_tokens or usual)
        self.encoder = Encoder(
            tokenizer,
            max_length=self._max_length,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            prefix_token_id=self.prefix_token_id,
            add_bos_token=settings.add_bos_token,
            truncate=settings.truncate,
            max_gen_toks=settings.max_gen_toks,
        )

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
            "deterministic": self.settings.deterministic,
            **self._checkpoint_info(),
        }

    def _checkpoint_info(self) -> dict[str, Any]:
        """Which checkpoint this is, so that lm-eval's results tell it from others; nothing for a model without a folder."""
        from ropepp_eval.checkpoints import inspect_checkpoint

        if not self.name:
            return {}
        info = inspect_checkpoint(self.name, position=self.position)
        return {"checkpoint": {"name": info.name, **info.facts}}

    # lm-eval's own calls

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood, is_greedy) of each continuation. Raises UserError where a request has no answer."""
        return self._responses(requests, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text. Raises UserError where a request has no answer."""
        return self._responses(requests, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuation of each prompt up to its first stop text. Raises UserError where a request has no answer."""
        return self._responses(requests, disable_tqdm)

    def sliding_window(self, requests: list[Instance], disable_tqdm: bool = False) -> list[list[Window]]:
        """Windows of each text; lm-eval calls the method that a request's type names. Raises UserError as the others do."""
        return self._responses(requests, disable_tqdm)

    def _responses(self, requests: list[Instance], disable_tqdm: bool) -> list[Any]:
        from tqdm import tqdm  # type: ignore[import-untyped]

        responses: list[Any] = [None] * len(requests)
        with tqdm(total=len(requests), disable=disable_tqdm, desc="ropepp") as bar:
            for index, answer in self.answers(requests):
                request = requests[index]
                if answer.error is not None:
                    raise UserError(f"{request.request_type} request {index}: {answer.error.message}")
                responses[index] = answer.response
                self.cache_hook.add_partial(request.request_type, request.args, answer.response)
                bar.update()
        return responses

    # ours

    def plan(self, requests: list[Instance]) -> WorkPlan:
        """What `answers(requests)` will do, without doing it."""
        return self._plan(self._jobs(requests))

    def answers(self, requests: list[Instance]) -> Iterator[tuple[int, Answer]]:
        """(number of the request, answer), as answers are made. A request that fails has `error` set; the others go on.

        Raises:
            UserError: a request type or generation setting is not known.
        """
        jobs = self._jobs(requests)
        self.work = self._plan(jobs)
        self.work.start(sum(weight_of(job) for job in jobs if job.error is None))
        with deterministic_kernels(self.settings.deterministic):
            for job, answer in self._answers(jobs):
                if job.error is None:
                    self.work.advance(weight_of(job))
                yield job.index, answer

    def _jobs(self, requests: Sequence[Instance]) -> list[Job]:
        return self.encoder.jobs(requests)

    def _answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Answer]]:
        for job in jobs:
            if job.error is not None:
                yield job, failed(job, job.error)
            elif job.kind != "generate_until" and not job.spans:
                yield job, scored(job, [])
        scoring = [job for job in jobs if job.spans]
        if scoring:
            yield from self._scored(scoring)
        generating = [job for job in jobs if job.kind == "generate_until" and job.error is None]
        for done in self._generator().run(generating) if generating else ():
            yield done.job, generated(done)

    def _scored(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Answer]]:
        by_index = {job.index: job for job in jobs}
        waiting: dict[int, dict[int, SpanScore]] = {}
        for score in Scorer(self.forward, self._limits(), self.events).run(jobs):
            index, number = score.owner
            job, have = by_index[index], waiting.setdefault(index, {})
            have[number] = score
            if len(have) == len(job.spans):
                yield job, scored(job, [have[i] for i in range(len(have))])
                del waiting[index]

    def _limits(self) -> Limits:
        return Limits(
            batch_tokens=self.settings.batch_tokens or BATCH_TOKENS.get(self._device.type, BATCH_TOKENS["cpu"]),
            chunk_tokens=self.forward.chunk_tokens,
            batch_rows=self.settings.batch_size,
            packs=self.forward.packs,
            share=not self.settings.deterministic,
        )

    def _generator(self) -> Generator:
        rows = self.settings.batch_size or GENERATION_ROWS.get(self._device.type, GENERATION_ROWS["cpu"])
        return Generator(
            self.forward,
            self.tokenizer,
            self._limits(),
            self.end_ids,
            rows=1 if self.settings.deterministic else rows,
            cache_tokens=self._cache_tokens(),
            events=self.events,
        )

    def _cache_tokens(self) -> int:
        """Tokens that generation may keep: on a GPU half of what is free."""
        if self.settings.cache_tokens:
            return self.settings.cache_tokens
        free = available_memory(str(self._device)) if self._device.type == "cuda" else None
        return CPU_CACHE_TOKENS if free is None else int(0.5 * free / self.shapes.kv_bytes(1, self._dtype_bytes))

    @property
    def _dtype_bytes(self) -> int:
        return int(next(self.model.parameters()).element_size())

    def _plan(self, jobs: Sequence[Job]) -> WorkPlan:
        limits = self._limits()
        units = Scorer(self.forward, limits, []).units([job for job in jobs if job.spans])
        generator = self._generator()
        capacities = [capacity_of(job) for job in jobs if job.kind == "generate_until" and job.error is None]
        generation_tokens = generator.slots(max(capacities), len(capacities)) * max(capacities) if capacities else 0
        longest = max([*(span.inputs for job in jobs for span in job.spans), generation_tokens, 1])
        memory = plan_memory(
            self.shapes,
            length_tokens=longest,
            dtype=str(self.model.dtype).removeprefix("torch."),
            chunk_tokens=max(limits.chunk_tokens, limits.batch_tokens),
            available_bytes=None,
            device=self._device.type,
        )
        kv_bytes = self.shapes.kv_bytes(1, self._dtype_bytes)
        return count_work(jobs, units, kv_bytes_per_token=kv_bytes, generation_tokens=generation_tokens, memory=memory)


@contextlib.contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """torch's deterministic algorithms while requests are answered; what has none raises."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
