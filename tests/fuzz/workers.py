"""Cases in processes of their own: one that hangs or dies is noted, and the next ones go on in a new process."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.judge import Verdict, judge
from tests.fuzz.targets import make_base

_HANGS_AFTER_SECONDS = 60.0
"""Wall-clock, for a case that no longer answers; the machine may be busy."""
_START_SECONDS = 300.0
_ADDRESS_SPACE = 16 << 30
"""No case may take the machine with it."""


def verdicts(cases: Iterable[tuple[str, int]]) -> Iterator[Verdict]:
    """The verdicts of cases, in order."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        base = Path(folder) / "base"
        worker = _Worker(base)
        try:
            for target, number in cases:
                verdict = worker.ask(target, number)
                if verdict is None:
                    worker.stop()
                    wrong = f"a process that hung for {_HANGS_AFTER_SECONDS:.0f} s or died"
                    verdict = Verdict(target, number, -1, wrong, "", _HANGS_AFTER_SECONDS, 0)
                    worker = _Worker(base)
                yield verdict
        finally:
            worker.stop()


class _Worker:
    def __init__(self, base: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, base), daemon=True)
        self._process.start()
        other.close()
        if not self._pipe.poll(_START_SECONDS) or self._pipe.recv() != "ready":
            raise RuntimeError("the worker did not start")

    def ask(self, target: str, number: int) -> Verdict | None:
        self._pipe.send((target, number))
        try:
            return self._pipe.recv() if self._pipe.poll(_HANGS_AFTER_SECONDS) else None
        except EOFError:
            return None

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, base: Path) -> None:
    os.environ |= {
        "ROPEPP_EVAL_CACHE": "off",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    os.environ["ROPEPP_EVAL_WORKERS"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    if not base.exists():
        make_base(base)
    pipe.send("ready")
    while True:
        pipe.send(judge(*pipe.recv(), base))
