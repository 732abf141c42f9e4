"""The driver's loop: workers are asked, listened to, and replaced when they are lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.adapters.answers import Answer, Failure
from ropepp_eval.cluster.admission import here_or_named
from ropepp_eval.cluster.library import require_ray
from ropepp_eval.cluster.nodes import last_lines, living_nodes
from ropepp_eval.cluster.staff import CLUSTER, Staff
from ropepp_eval.cluster.work import MOST_LOSSES, Slice, Work
from ropepp_eval.cluster.worker import Done, Hello, Order, Refused, code_sha256
from ropepp_eval.errors import UserError
from ropepp_eval.hub import split_revision
from ropepp_eval.inert import inert
from ropepp_eval.words import counted, lasting

if TYPE_CHECKING:
    from ropepp_eval.cluster.member import Member
    from ropepp_eval.rows.row import Row
    from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint
    from ropepp_eval.runs.watch import Watch

_TICK_SECONDS = 1.0
_LOAD_SECONDS = 3600.0
_LOSSES_IN_A_ROW = 12
"""So many workers lost for each one at work, and no row between: it is not bad luck."""


class Dispatch:
    """Asks all rows of some work, of whoever is there."""

    def __init__(self, work: Work, staff: Staff, watch: Watch, *, patience_seconds: float) -> None:
        self._work, self._staff, self._watch, self._patience = work, staff, watch, patience_seconds
        self._plan: Plan = work.plan
        self._loads: list[float] = []
        self._losses = 0
        self._ran: set[str] = set()

    def rows(self) -> Iterator[tuple[Cell, Row, list[Answer]]]:
        """Rows as they are answered. A row counts as done when the next one is asked for.

        Raises:
            UserError: nobody is left to ask, or a checkpoint can't be loaded.
        """
        self._watch.foreseen(self._work.foreseen)
        try:
            while self._work.unanswered:
                self._staff.look(len(self._work.queue))
                for member in self._staff.members:
                    if member.waiting is None:
                        self._give(member)
                yield from self._listen()
        finally:
            self._staff.end()

    # what they do

    def _give(self, member: Member) -> None:
        """Work for a worker that is free, if there is some for it."""
        if member.hello is None:
            return
        holders = Counter(other.loaded for other in self._staff.members if other.loaded is not None)
        slice_ = self._work.take(member.loaded, holders, self._load_cost)
        if slice_ is None:
            return
        if member.loaded == slice_.label:
            self._ask(member, slice_)
        else:
            self._watch.loading(slice_.label)
            member.load(self._order(slice_.cell.checkpoint), slice_)

    @property
    def _load_cost(self) -> float:
        """What a load takes, in the unit of the work; 0 before that is known."""
        factor = self._watch.pace.factor()
        return sum(self._loads) / len(self._loads) / factor if self._loads and factor else 0.0

    def _ask(self, member: Member, slice_: Slice) -> None:
        self._watch.asking(slice_.cell)
        member.ask(slice_, self._work.shipped(slice_.cell))

    def _order(self, checkpoint: PlannedCheckpoint) -> Order:
        plan = self._plan
        computed = plan.computations[checkpoint.label]
        config = replace(
            plan.config,
            elsewhere=False,
            device=computed["device"],
            tokenizer=here_or_named(plan.config.tokenizer) if plan.config.tokenizer else None,
            position_module=tuple(map(here_or_named, plan.config.position_module)),
            task_folder=(),  # rows and scores are made here
        )
        source = _at_its_revision(here_or_named(checkpoint.source), checkpoint.info.revision)
        return Order(config, checkpoint.label, source, computed, plan.longest_row_tokens(checkpoint), code_sha256())

    # what they say

    def _listen(self) -> Iterator[tuple[Cell, Row, list[Answer]]]:
        ray = require_ray()
        speaking = {member.waiting: member for member in self._staff.members if member.waiting is not None}
        if not speaking:
            time.sleep(_TICK_SECONDS / 10)
            return
        ready, rest = ray.wait(list(speaking), num_returns=1, timeout=_TICK_SECONDS)
        if ready and rest:
            ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for waiting in ready:
            yield from self._hear(speaking[waiting])
        for member in list(self._staff.members):
            if hung := self._hung(member):
                yield from self._lose(member, hung, end=True)

    def _hear(self, member: Member) -> Iterator[tuple[Cell, Row, list[Answer]]]:
        ray = require_ray()
        try:
            said = member.next()
        except StopIteration:
            yield from self._lose(member, "its rows ended too early")
            return
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, UserError) and member.loading and not isinstance(cause, Refused):
                raise UserError(f"{member}: {cause}") from None
            if isinstance(cause, Refused):
                self._staff.bar(member.node, f"node {member.node.host} is refused: {cause}")
            yield from self._lose(member, _why(error, cause), blamed=not isinstance(cause, Refused))
            return
        member.since = time.monotonic()
        if isinstance(said, Hello):
            member.hello = said
            member.rest()
        elif member.loading:
            self._loaded(member, *said)
        elif isinstance(said, Done):
            self._slice_done(member, said)
        else:
            number, answers = said
            slice_ = member.slice
            assert slice_ is not None
            member.left.discard(number)
            member.rows += 1
            self._losses = 0
            yield slice_.cell, next(row for row in slice_.rows if row.row == number), answers
            self._work.answered(slice_)

    def _loaded(self, member: Member, facts: dict[str, str], seconds: float) -> None:
        self._loads.append(seconds)
        slice_ = member.slice
        assert slice_ is not None
        if slice_.label not in self._ran:
            self._ran.add(slice_.label)
            self._watch.ran(slice_.label, facts)
        self._ask(member, slice_)

    def _slice_done(self, member: Member, done: Done) -> None:
        slice_ = member.slice
        assert slice_ is not None
        for event in done.events:
            self._watch.event(slice_.label, event)
        member.rest()

    # faults

    def _hung(self, member: Member) -> str:
        """Why a worker that says nothing is given up; empty while there is still hope."""
        silent, slice_ = member.silent_seconds, member.slice
        if member.hello is None or slice_ is None or silent <= self._patience:
            return ""
        most = _LOAD_SECONDS
        if not member.loading:
            most = self._watch.pace.longest_silence(id(slice_.cell), self._work.cost(slice_, member.left))
        return f"it gave no sign for {lasting(silent)}" if silent > most else ""

    def _lose(
        self, member: Member, why: str, *, end: bool = False, blamed: bool = True
    ) -> Iterator[tuple[Cell, Row, list[Answer]]]:
        """Replace a worker; its unanswered rows are asked again, but for those that too many were lost over.

        Args:
            end: its process may not end by itself.
            blamed: whether its rows may be why.
        """
        slice_, left = member.slice, set(member.left)
        self._staff.lose(member)
        if end:
            self._last_lines(member, end=True)
        gone: list[Row] = []
        if slice_ is not None and (member.loading or not blamed):
            self._work.back(slice_)
        elif slice_ is not None:
            gone = self._work.lost(slice_, left)
        process = f", process {member.hello.pid}" if member.hello else ""
        said = [f"{member}{process} was lost while {member.doing}: {why}"]
        said += [f"{counted(len(left) - len(gone), 'row')} of it asked again"] if len(left) > len(gone) else []
        said += [f"{counted(len(gone), 'row')} given up"] if gone else []
        self._watch.event(CLUSTER if member.loaded is None else member.loaded, "; ".join(said))
        log = self._last_lines(member) if gone else ""
        failure = Failure(
            "worker",
            "WorkerLost",
            inert(f"{MOST_LOSSES} workers were lost over it, the last on {member.node.host}: {why}{log}"),
        )
        for row in gone:
            assert slice_ is not None
            yield slice_.cell, row, [_unanswered(row, failure)]
            self._work.answered(slice_)
        self._losses += blamed
        if self._losses >= _LOSSES_IN_A_ROW * max(1, len(self._staff.members)):
            raise UserError(
                f"{self._losses} workers were lost in a row, and no row was answered between; the last: {why}"
                + self._last_lines(member)
            )

    def _last_lines(self, member: Member, *, end: bool = False) -> str:
        """What its log ends with, as the end of a sentence; empty where its node is gone too."""
        hello = member.hello
        if hello is None or member.node.id not in {node.id for node in living_nodes()}:
            return ""
        log = last_lines(member.node.id, hello.log, hello.pid, end=end)
        return f"; its log ends: {inert(log)}" if log else ""


def _at_its_revision(source: str, revision: str | None) -> str:
    """A hub id or a card at the commit that was planned with: its branch may have moved when a worker fetches it. Paths as they are."""
    if revision is None or Path(source).is_absolute() or split_revision(source)[1]:
        return source
    return f"{source}@{revision}"


def _why(error: Any, cause: BaseException | None) -> str:
    """What ended a worker, in a line."""
    told = cause or error
    said = inert(" ".join((str(told).strip().splitlines() or [""])[:1]))[:300]
    return f"{type(told).__name__}: {said}" if said else type(told).__name__


def _unanswered(row: Row, failure: Failure) -> Answer:
    return Answer(
        response=None, prompt_tokens=row.prompt_tokens, new_tokens=0, budget=row.max_new_tokens, finish=None, cut=0, seconds=0.0,
        prompt_sha256="", error=failure,
    )  # fmt: skip
