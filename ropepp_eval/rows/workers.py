"""Building rows in several processes. They hold the tokenizer, stay alive between cells, and never import a model library."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from pickle import PicklingError
from typing import Any, TypeVar

from ropepp_eval.rows.row import RowRequest
from ropepp_eval.rows.task_folders import loaded_folders, make_package
from ropepp_eval.tokens.ids import Tokenizer

Built = TypeVar("Built")
_FEWEST_TOKENS = 4_000_000
"""Below this many tokens of rows, starting processes takes longer than building."""
_CHUNKS_A_WORKER = 4
_NEVER_NEEDED = ("scipy", "sklearn")
"""Optional imports of NLTK that no row needs; they are four fifths of the time that a worker takes to split sentences."""
_log = logging.getLogger(__name__)


def worker_count() -> int:
    """Processes to build with: `ROPEPP_EVAL_WORKERS`, else one for each core this process may use, at most 16."""
    named = os.environ.get("ROPEPP_EVAL_WORKERS", "")
    if named.isdigit():
        return max(1, int(named))
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def build_in_chunks(request: RowRequest, rows: int, build: Callable[[RowRequest, range], Built]) -> list[Built]:
    """`build(request, numbers)` over chunks of row numbers, in order; in other processes where that pays.

    `build` is a function of a module, and its rows depend on nothing but its arguments, so where it runs changes nothing.
    """
    workers = worker_count()
    if workers < 2 or rows * request.length_tokens < _FEWEST_TOKENS or multiprocessing.current_process().daemon:
        return [build(request, range(rows))]
    size = max(1, -(-rows // (workers * _CHUNKS_A_WORKER)))
    chunks = [range(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
    try:
        return _in_pool(request, chunks, build, workers)
    except (BrokenProcessPool, OSError, PicklingError) as error:
        _log.warning("rows are built in one process, since the worker processes failed (%s)", error)
        _close_pool()
        return [build(request, range(rows))]


def _in_pool(
    request: RowRequest, chunks: list[range], build: Callable[[RowRequest, range], Built], workers: int
) -> list[Built]:
    pool = _pool(request.tokenizer, workers)
    light = replace(request, tokenizer=None)  # type: ignore[arg-type]  # the workers have it
    with _main_hidden():
        futures: list[Future[Built]] = [pool.submit(_work, build, light, chunk) for chunk in chunks]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


_open: dict[tuple[str, int, tuple[Path, ...]], ProcessPoolExecutor] = {}


def _pool(tokenizer: Tokenizer, workers: int) -> ProcessPoolExecutor:
    """The pool of this tokenizer and these task folders; another one is closed first."""
    folders = loaded_folders()
    key = (tokenizer.sha256, workers, folders)
    if key not in _open:
        _close_pool()
        _open[key] = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(tokenizer, folders),
        )
    return _open[key]


@atexit.register
def _close_pool() -> None:
    while _open:
        _open.popitem()[1].shutdown(wait=False, cancel_futures=True)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Start processes without running the user's script again in each (it may lack `if __name__ == "__main__"`)."""
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        main.__spec__ = None
        if "__file__" in hidden:
            del main.__file__
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


_tokenizer: Tokenizer | None = None


def _start(tokenizer: Tokenizer, folders: tuple[Path, ...]) -> None:
    global _tokenizer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for module in _NEVER_NEEDED:  # an import of them fails at once, and those who would only like to have them go without
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    for folder in folders:  # what is built comes by the name of its module
        make_package(folder)
    _tokenizer = tokenizer


def _work(build: Callable[[RowRequest, range], Any], light: RowRequest, chunk: range) -> Any:
    assert _tokenizer is not None
    return build(replace(light, tokenizer=_tokenizer), chunk)
