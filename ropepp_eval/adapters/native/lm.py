"""The lm-eval model `ropepp`: log-likelihoods, perplexities and greedy generation with a torch model, in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from lm_eval.api.instance import Instance

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.adapters.base import RowAdapter, tokenizer_of
from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.laps import Laps
from ropepp_eval.adapters.ledger import Generated, SpanScore
from ropepp_eval.adapters.memory import available_memory, resident_memory
from ropepp_eval.adapters.model_facts import end_ids, shapes_of
from ropepp_eval.adapters.native.foresight import Engine
from ropepp_eval.adapters.native.forward import Forward, takes_packed_branches
from ropepp_eval.adapters.native.generation import Generator
from ropepp_eval.adapters.native.grouping import Limits
from ropepp_eval.adapters.native.scoring import Scorer
from ropepp_eval.adapters.native.whole import WholeForward, WholeGenerator
from ropepp_eval.adapters.native.work import WorkPlan, count_work
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.checkpoints.cache_layers import windows
from ropepp_eval.checkpoints.inspection import CheckpointInfo
from ropepp_eval.tokens.ids import Tokenizer


class NativeLM(RowAdapter):
    """A causal language model of ours, or of one of transformers' own classes.

    >>> lm = NativeLM("models/demo/rope", tokenizer="gpt2", dtype="float32")      # doctest: +SKIP
    >>> lm.loglikelihood([Instance("loglikelihood", {}, ("The sky is", " blue"), 0)])  # doctest: +SKIP
    [(-6.2, False)]
    """

    def __init__(
        self,
        pretrained: str,
        *,
        tokenizer: str | Tokenizer | None = None,
        position: str | None = None,
        dtype: str | torch.dtype = "auto",
        device: str | None = "cpu",
        attention: str = "sdpa",
        sha256: str | None = None,
        **settings: Any,
    ) -> None:
        """Load a checkpoint.

        Args:
            pretrained: folder or hub id.
            tokenizer: folder or hub id, or one that is loaded; None takes the checkpoint's own.
            position, dtype, attention: see `ropepp_eval.load_checkpoint`.
            device: a torch device; `auto` or None takes the first GPU, else the CPU.
            sha256: what the checkpoint's hash must be (`CheckpointInfo.sha256`); None takes it as it is.
            settings: fields of `ropepp_eval.adapters.settings.Settings`; texts are read as --model_args gives them.

        Raises:
            UserError: checkpoint or tokenizer can't be used, or a setting has no such value.
        """
        from ropepp_eval.checkpoints.inspection import describe
        from ropepp_eval.checkpoints.loading import load_read, resolved_device
        from ropepp_eval.checkpoints.reading import read_checkpoint

        checked = Settings.of(settings)
        loaded = tokenizer_of(tokenizer or pretrained, checked)
        read = read_checkpoint(pretrained, position)
        read.check_sha256(sha256)
        model = load_read(read, dtype=dtype, device=resolved_device(device), attention=attention)
        self._set_up(model, loaded, checked, name=str(pretrained), checkpoint=describe(read))

    @classmethod
    def from_objects(cls, model: Any, tokenizer: Any, **settings: Any) -> Self:
        """An adapter around a loaded model and a `transformers` tokenizer; settings as in the constructor."""
        self = cls.__new__(cls)
        checked = Settings.of(settings)
        self._set_up(model, Tokenizer(tokenizer, "", **checked.tokenizer_rules), checked, name="", checkpoint=None)
        return self

    def _set_up(
        self, model: Any, tokenizer: Tokenizer, settings: Settings, *, name: str, checkpoint: CheckpointInfo | None
    ) -> None:
        super().__init__(
            tokenizer,
            settings,
            name=name,
            checkpoint=checkpoint,
            trained_tokens=int(
                model.config.max_position_embeddings if checkpoint is None else checkpoint.max_position_embeddings
            ),
            vocabulary=model.get_input_embeddings().weight.shape[0],
            end_ids=end_ids(model, tokenizer.rules.eos),
        )
        self.model = model.eval()
        self.work: WorkPlan | None = None
        """The plan of the requests at hand, with the time left."""
        self._laps = Laps()
        self._device = next(model.parameters()).device
        self.shapes = shapes_of(model)
        attention = str(model.config._attn_implementation)
        own_masks = attention not in ("sdpa", "eager") and self.shapes.windowed
        if self.shapes.whole or own_masks:
            self.shapes = dataclasses.replace(self.shapes, whole=True)
        self._foreseen = Engine(
            shapes=self.shapes,
            dtype=str(model.dtype).removeprefix("torch."),
            device=self._device.type,
            attention=attention,
            settings=settings,
            packs=not self.shapes.whole and takes_packed_branches(model),
        )
        if self.shapes.whole:
            self.forward: Forward = WholeForward(model)
        else:
            own_windows = [window.window_tokens for window in windows(self.shapes.cache)]
            self.forward = Forward(model, self._foreseen.limits.chunk_tokens, own_windows)

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
            "architecture": type(self.model).__name__,
            "shares_prefixes": not self.forward.whole,
            **self._checkpoint_info(),
        }

    def plan(self, requests: list[Instance]) -> WorkPlan:
        """What `answers(requests)` will do, without doing it."""
        return self._plan(self.encoder.jobs(requests))

    def answers(self, requests: list[Instance]) -> Iterator[tuple[int, Answer]]:
        """As `RowAdapter.answers`; `work` tells the time left meanwhile."""
        self._laps = Laps()
        jobs = self.encoder.jobs(requests)
        self.work = self._plan(jobs)
        self.work.start(sum(job.weight for job in jobs if job.error is None))
        with deterministic_kernels(self.settings.deterministic):
            for job, answer in self._answers(jobs):
                if job.error is None:
                    self.work.advance(job.weight)
                yield job.index, answer

    def _scores(self, jobs: Sequence[Job]) -> Iterator[SpanScore]:
        return Scorer(self.forward, self._limits(), self.events, self._laps).run(jobs)

    def _generations(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        if isinstance(self.forward, WholeForward):
            return WholeGenerator(self.forward, self.tokenizer, self.end_ids, self.events, self._laps).run(jobs)
        return self._generator().run(jobs)

    def _limits(self) -> Limits:
        """As planned, with the chunk that memory left."""
        return dataclasses.replace(self._foreseen.limits, chunk_tokens=self.forward.chunk_tokens)

    def _generator(self) -> Generator:
        return Generator(
            self.forward,
            self.tokenizer,
            self._limits(),
            self.end_ids,
            rows=self._foreseen.rows,
            cache_tokens=self.engine.cache_tokens,
            events=self.events,
            laps=self._laps,
        )

    @property
    def engine(self) -> Engine:
        """How requests are taken, with what is free on a GPU now."""
        free = available_memory(str(self._device)) if self._device.type == "cuda" else None
        return dataclasses.replace(self._foreseen, free_bytes=free)

    def _plan(self, jobs: Sequence[Job]) -> WorkPlan:
        units = Scorer(self.forward, self._limits(), [], self._laps).units([job for job in jobs if job.spans])
        weights = self.shapes.parameters * self.model.dtype.itemsize
        calls = self.engine.calls(jobs)
        before = max(0, resident_memory() - weights)
        return count_work(jobs, units, memory=self.engine.memory(calls, resident_bytes=before))


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
