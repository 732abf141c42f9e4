"""The lm-eval model `ropepp-vllm`: the native adapter's requests and answers, computed by a vLLM engine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.adapters.base import RowAdapter, tokenizer_of
from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.ledger import Generated, SpanScore, failed
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.adapters.vllm.arguments import check_architecture, engine_arguments, platform_of
from ropepp_eval.adapters.vllm.engine import LOG_NAME, Engine, EngineDied, EngineSettings, require_vllm, vllm_version
from ropepp_eval.adapters.vllm.requests import generate, score_spans
from ropepp_eval.checkpoints.inspection import describe
from ropepp_eval.checkpoints.loading import parse_dtype
from ropepp_eval.checkpoints.reading import ReadCheckpoint, read_checkpoint
from ropepp_eval.checkpoints.shared_heads import check_shared_heads
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.ids import Tokenizer
from ropepp_eval.words import counted

_ENGINE_NAMES = tuple(field.name for field in fields(EngineSettings))


class VllmLM(RowAdapter):
    """The same requests, answers and refusals as `NativeLM`; a vLLM engine computes."""

    def __init__(
        self,
        pretrained: str,
        *,
        tokenizer: str | Tokenizer | None = None,
        position: str | None = None,
        dtype: Any = "auto",
        device: str | None = None,
        log_folder: str | None = None,
        sha256: str | None = None,
        **settings: Any,
    ) -> None:
        """Start an engine.

        Args:
            pretrained, tokenizer, position, dtype, sha256: as in `NativeLM`.
            device: None or `auto`: what this vLLM was built for; anything else must name that.
            log_folder: where `vllm-engine.log` goes; None: a temporary folder.
            settings: fields of `EngineSettings` and of `Settings`; of the latter, `chunk_tokens` and `batch_tokens` become tokens
                of a step, `batch_size` requests side by side.

        Raises:
            UserError: vLLM is missing, a setting has no such value, or the engine can't start.
        """
        require_vllm()
        checked, self.engine_settings = both_settings(settings)
        loaded = tokenizer_of(tokenizer or pretrained, checked)
        read = read_checkpoint(pretrained, position)
        read.check_sha256(sha256)
        check_architecture(read)
        super().__init__(
            loaded,
            checked,
            name=str(pretrained),
            checkpoint=describe(read),
            trained_tokens=read.max_position_embeddings,
            vocabulary=int(read.config.vocab_size),
            end_ids=end_ids_of(read, loaded.rules.eos),
        )
        self._device_type = platform_of(device)
        self.dtype = str(parse_dtype(dtype, read.config.dtype)).removeprefix("torch.")
        check_shared_heads(
            read.heads.key_value, self.engine_settings.tensor_parallel_size, read.folder.name, "tensor_parallel_size"
        )
        # A request of max_length + 1 tokens is scored to its last token, and vLLM always writes one more.
        arguments = engine_arguments(
            read,
            position,
            self._max_length + 2,
            dtype=self.dtype,
            device_type=self._device_type,
            settings=self.engine_settings,
        )
        folder = Path(log_folder) if log_folder else Path(tempfile.mkdtemp(prefix="ropepp-eval-vllm-"))
        self.engine: Engine | None = Engine(arguments, folder / LOG_NAME)

    def get_model_info(self) -> dict[str, Any]:
        """What ran: for lm-eval's results and for `run.json`."""
        return {
            "model_name": self.name,
            "model_dtype": self.dtype,
            "device": self._device_type,
            "attention": "vllm",
            "vllm": vllm_version(),
            "max_length": self.max_length,
            **{name: getattr(self.engine_settings, name) for name in _ENGINE_NAMES},
            **self._checkpoint_info(),
        }

    def plan(self, requests: list[Instance]) -> Any:
        """What `answers(requests)` will ask of the engine, which makes its batches itself; `lines()` is for people."""
        jobs = self.encoder.jobs(requests)
        cache = self._running().config.cache_config
        return EngineWork(
            requests=len(jobs),
            refused=sum(job.error is not None for job in jobs),
            tokens=sum(job.weight for job in jobs if job.error is None),
            rows=self._running().rows,
            cache_tokens=int(cache.num_gpu_blocks or 0) * int(cache.block_size),
        )

    def answers(self, requests: list[Instance]) -> Iterator[tuple[int, Answer]]:
        """As `RowAdapter.answers`. When the engine dies, the rows that ran fail with its last lines, and then UserError is raised."""
        jobs = self.encoder.jobs(requests)
        answered: set[int] = set()
        try:
            for job, answer in self._answers(jobs):
                answered.add(job.index)
                yield job.index, answer
        except EngineDied as died:
            self.close()
            touched = {index_of(request.key) for request in died.requests} - answered
            for job in jobs:
                if job.index in touched:
                    yield job.index, failed(job, died.failure)
            raise UserError(f"{died.failure.message}; finished rows are kept: run the same command again") from died

    def _scores(self, jobs: Sequence[Job]) -> Iterator[SpanScore]:
        return score_spans(self._running(), jobs, caching=self._caching)

    def _generations(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        return generate(self._running(), jobs, self.tokenizer, self.end_ids, caching=self._caching)

    @property
    def _caching(self) -> bool:
        return self.engine_settings.enable_prefix_caching

    def _running(self) -> Engine:
        if self.engine is None:
            raise UserError("the vLLM engine of this adapter has stopped; make a new adapter")
        return self.engine

    def close(self) -> None:
        """Stop the engine's processes. Safe to call again."""
        engine, self.engine = getattr(self, "engine", None), None
        if engine is not None:
            engine.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be going down
            self.close()


@dataclass(frozen=True)
class EngineWork:
    """What an engine is going to be asked."""

    requests: int
    refused: int
    """Requests that can't be asked: they fail without touching the model."""
    tokens: int
    """Tokens that enter the model, or may be generated, before the prefix cache saves any."""
    rows: int
    """Most requests side by side."""
    cache_tokens: int
    """Tokens that the key/value cache holds; 0: the engine does not say."""

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"work: {counted(self.requests, 'request')} of at most {self.tokens:,} tokens, up to {self.rows} side by side, batches as vLLM makes them",
            f"memory: vLLM's cache holds {self.cache_tokens:,} tokens",
        ]
        return lines + ([f"refused: {counted(self.refused, 'request')} can't be asked as they are"] if self.refused else [])


def both_settings(given: Mapping[str, Any]) -> tuple[Settings, EngineSettings]:
    """The adapter's settings and the engine's, from both under one name each. Raises UserError for one that is neither's."""
    engine = {name: value for name, value in given.items() if name in _ENGINE_NAMES}
    settings = Settings.of({name: value for name, value in given.items() if name not in _ENGINE_NAMES})
    return settings, translated(settings, engine_settings(engine))


def engine_settings(given: Mapping[str, Any]) -> EngineSettings:
    """Settings from loosely typed values, as lm-eval's --model_args gives them. Raises UserError for one that can't be read."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value in (None, "None", ""):
            continue
        kind = bool if name.startswith("en") else float if name in ("gpu_memory_utilization", "kv_cache_gib") else int
        try:
            values[name] = {"true": True, "false": False}[str(value).lower()] if kind is bool else kind(value)
        except (ValueError, KeyError):
            raise UserError(
                f"{name} {value!r} can't be read; it must be {'True or False' if kind is bool else 'a number'}"
            ) from None
    return EngineSettings(**values)


def translated(settings: Settings, engine: EngineSettings) -> EngineSettings:
    """Engine settings with what the native adapter's settings mean for vLLM. Raises UserError for one that means nothing."""
    if settings.cache_tokens is not None:
        raise UserError(
            "cache_tokens is a setting of the native adapter; for vLLM give kv_cache_gib or gpu_memory_utilization"
        )
    if settings.deterministic:  # every request alone, in pieces that depend on it only
        engine = replace(engine, max_num_seqs=1, enable_prefix_caching=False)
    return replace(
        engine,
        max_num_seqs=engine.max_num_seqs or settings.batch_size,
        max_num_batched_tokens=engine.max_num_batched_tokens or settings.chunk_tokens or settings.batch_tokens,
    )


def end_ids_of(read: ReadCheckpoint, eos: int | None) -> frozenset[int]:
    """Tokens that end a generation: the tokenizer's EOS and the checkpoint's, as in the native adapter."""
    return frozenset(read.ids.stops) | ({eos} if eos is not None else set())


def index_of(key: Any) -> int | None:
    """Number of the job that an engine request's key belongs to; None for a request that only fills the cache."""
    if key is None:
        return None
    return int(key[0].index if isinstance(key, tuple) else key.owner[0])
