"""The workers of a run: started where there is room, on nodes that come and go, and ended."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from ropepp_eval.cluster.member import Member
from ropepp_eval.cluster.nodes import Node, living_nodes, next_node
from ropepp_eval.errors import UserError
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.cluster.admission import Admission
    from ropepp_eval.runs.watch import Watch

_LOOK_SECONDS = 2.0
"""How often nodes are looked at and states written."""
_STARTING_SECONDS = 30.0
"""After which a worker that has not begun is said to wait for room."""
CLUSTER = "cluster"
"""What events are about that are about no checkpoint."""


class Staff:
    """Whoever is there to be asked."""

    def __init__(self, admission: Admission, watch: Watch, *, most: int | None, offline: bool, dashboard: str) -> None:
        """
        Args:
            most: workers at most at one time; None: as many as there is room for.
            offline: they never touch the network.
            dashboard: address of Ray's own page, or nothing.
        """
        self._admission, self._watch, self._most = admission, watch, most
        self._offline, self._dashboard = offline, dashboard
        self.members: list[Member] = []
        self._started = 0
        self._nodes: dict[str, Node] = {}
        self._barred: dict[str, str] = {}
        self._looked = 0.0
        self._said_waiting = False

    def look(self, queued: int) -> None:
        """Every few seconds: nodes that came or went, workers for `queued` slices, what is shown.

        Raises:
            UserError: nobody is left to ask.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        first, self._looked = not self._nodes, now
        living = {node.id: node for node in living_nodes()}
        for node in () if first else [node for id_, node in living.items() if id_ not in self._nodes]:
            why_not = self._admission.join(node)
            self._watch.event(CLUSTER, f"node {node.host} joined" + (f" and gets no worker: {why_not}" if why_not else ""))
            if why_not:
                self.bar(node, why_not)
        for node in [node for id_, node in self._nodes.items() if id_ not in living]:
            self._watch.event(CLUSTER, f"node {node.host} left")
        self._nodes = living
        self._hire(queued)
        if first:
            hosts = len({member.node.id for member in self.members})
            self._watch.say(
                f"{counted(len(self.members), 'worker')} of {self._admission.needs} each on {counted(hosts, 'node')}"
                + (f"; Ray's page: {self._dashboard}" if self._dashboard else "")
            )
        starting = [member for member in self.members if member.hello is None]
        if not self._said_waiting and any(member.silent_seconds > _STARTING_SECONDS for member in starting):
            self._said_waiting = True
            self._watch.say(f"{counted(len(starting), 'worker')} not begun yet: the nodes have no room, or are slow")
        self._watch.workers([member.state for member in self.members], self._dashboard)

    def _hire(self, queued: int) -> None:
        """Workers on every node with room, spread evenly; no more than there is to do."""
        usable = [node for node in self._nodes.values() if node.id not in self._barred]
        have = Counter(member.node.id for member in self.members)
        wanted = queued - sum(member.slice is None for member in self.members)
        while wanted > 0 and (self._most is None or len(self.members) < self._most):
            node = next_node(usable, have, self._admission.room)
            if node is None:
                break
            self._started += 1
            self.members.append(Member.start(self._started, node, self._admission.needs, self._offline))
            have[node.id] += 1
            wanted -= 1
        if not self.members:
            reasons = sorted(set(self._barred.values()))
            why = reasons[0] if reasons else f"no node that lives has room for a worker of {self._admission.needs}"
            raise UserError(f"no worker can go on: {why}; finished rows are kept, the same command goes on from there")

    def bar(self, node: Node, why: str) -> None:
        """Start no worker there any more."""
        self._barred[node.id] = why

    def lose(self, member: Member) -> None:
        """End one; another takes its place soon."""
        member.end()
        self.members.remove(member)
        self._looked = 0.0

    def end(self) -> None:
        """Kill all of them. Safe to call again."""
        for member in self.members:
            member.end()
        self.members = []
        self._watch.no_workers()
