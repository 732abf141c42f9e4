"""A worker: a process on some machine that loads one checkpoint after the other and answers slices of cells.

It believes nothing: weights, tokenizer, engine, release and every setting are computed anew where it is, and where they come to
something else than the driver planned with, it refuses.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError

if TYPE_CHECKING:
    from ropepp_eval.adapters.answers import Answer
    from ropepp_eval.runs.answering import Asking
    from ropepp_eval.runs.config import RunConfig

AHEAD = 8
"""Rows that a worker may be ahead of the driver."""


class Refused(UserError):
    """This machine would answer otherwise than the run was planned."""


@dataclass(frozen=True)
class Hello:
    """What a worker says first."""

    host: str
    pid: int
    log: str
    """File that its standard error goes to; empty where that can't be known."""


@dataclass(frozen=True)
class Order:
    """The checkpoint that a worker is to load, and what it must turn out to be."""

    config: RunConfig
    label: str
    source: str
    """A path without `.` or `~`, a hub id or a card."""
    computation: Mapping[str, Any]
    """See `runs.keys.computation`: weights, position, tokenizer, engine and its release, and all settings, by hash or value."""
    longest_tokens: int
    code_sha256: str


@dataclass(frozen=True)
class Done:
    """The last thing that comes of a slice."""

    events: tuple[str, ...]
    """What the adapter worked around."""


class Worker:
    """One process with its devices."""

    def __init__(self, threads: int, offline: bool) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        if offline:  # before anything that reads it is imported
            os.environ["HF_HUB_OFFLINE"] = "1"
        _import_engine()
        import torch

        torch.set_num_threads(threads)
        self._adapter: Any = None
        self._rows: tuple[str, Mapping[int, Any]] = ("", {})

    def hello(self) -> Hello:
        try:
            log = os.readlink("/proc/self/fd/2")
        except OSError:
            log = ""
        return Hello(socket.gethostname(), os.getpid(), log)

    def load(self, order: Order) -> tuple[dict[str, str], float]:
        """Load a checkpoint in place of the one before. Gives what really runs, and the seconds it took.

        Raises:
            Refused: it, or what would compute it, is not what the run was planned with.
            UserError: it can't be loaded here.
        """
        from ropepp_eval.runs.answering import facts_of, make_adapter
        from ropepp_eval.runs.judging import check_surroundings
        from ropepp_eval.runs.plan import planned_checkpoint

        begin = time.monotonic()
        self._let_go()
        if order.code_sha256 != code_sha256():
            raise Refused("it has another release or other code of ropepp-eval; install the driver's there")
        config = order.config
        try:
            check_surroundings(config)
            checkpoint = planned_checkpoint(config, order.label, order.source)
        except UserError as error:  # the driver could, so it is this machine's own
            raise Refused(str(error)) from error
        self._compare(order, checkpoint)
        self._adapter = make_adapter(config, checkpoint, order.longest_tokens, log_folder="")
        return facts_of(self._adapter), time.monotonic() - begin

    def _compare(self, order: Order, checkpoint: Any) -> None:
        from ropepp_eval.runs.growth import differences
        from ropepp_eval.runs.keys import computation

        found = list(differences(dict(order.computation), computation(order.config, checkpoint)))
        if found:
            raise Refused(
                f"checkpoint {order.label} is another one there than the run was planned with ({'; '.join(found)})"
            )

    def answers(
        self, asking: Asking, name: str, rows: Sequence[Any], numbers: Sequence[int]
    ) -> Iterator[tuple[int, list[Answer]] | Done]:
        """(number of the row, its answers) of each row as it is done, then `Done`.

        Args:
            name: of the cell's rows; rows of the same name are fetched once.
            rows: one reference to rows by number, in a list so that Ray does not fetch it by itself.
            numbers: which of them are asked.
        """
        import ray

        from ropepp_eval.runs.answering import answered_rows

        if self._rows[0] != name:
            self._rows = (name, ray.get(rows[0]))
        asked = [self._rows[1][number] for number in numbers]
        known = len(getattr(self._adapter, "events", ()))
        for place, answers in answered_rows(asking, asked, self._adapter):
            yield numbers[place], answers
        sys.stderr.flush()
        yield Done(tuple(getattr(self._adapter, "events", ())[known:]))

    def _let_go(self) -> None:
        close = getattr(self._adapter, "close", None)
        self._adapter = None
        if close is not None:
            close()  # an engine's processes hold the device's memory


def _import_engine() -> None:
    """What every worker needs, without scikit-learn: transformers takes it for one of its ways to generate, which none of ours is, and it
    is half of the time in which a worker starts."""
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import ropepp_eval.adapters.native  # noqa: F401
    finally:
        if hidden:
            del sys.modules["sklearn"]


@functools.cache
def code_sha256() -> str:
    """Hash of this package's code, tasks included."""
    root = Path(__file__).resolve().parents[1]
    files = {path.relative_to(root).as_posix(): path for part in (root, root / "tasks") for path in part.rglob("*")}
    found = hashlib.sha256()
    for name in sorted(name for name in files if name.endswith((".py", ".yaml"))):
        found.update(f"{name}\0".encode() + files[name].read_bytes())
    return found.hexdigest()
