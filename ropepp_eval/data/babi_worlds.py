"""Stand-in bAbI stories: the worlds of qa1, qa2 and qa3 simulated here, for runs without the bAbI files.

People walk between rooms, take things and drop them; questions follow from what happened (Weston et al., 2015,
tasks 1 to 3). The vocabulary is bAbI's, so prompts, labels and scoring are those of the real task; the stories are ours and
marked as stand-ins.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from ropepp_eval.data.babi import Question

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
ROOMS = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
THINGS = ("apple", "football", "milk")
SIMULATED_TASKS = ("qa1", "qa2", "qa3")
QUESTIONS_PER_STORY = 5

_WALKS = ("went", "went back", "travelled", "journeyed", "moved")
_TAKES = ("took", "got", "grabbed", "picked up")
_DROPS = ("dropped", "left", "discarded", "put down")
_WALK_SHARE = {"qa1": 1.0, "qa2": 0.72, "qa3": 0.7}
"""Share of walks among the facts, as in the 10k test files."""
_STORY_FACTS = {"qa1": 10, "qa2": 24, "qa3": 80}
"""Facts of a whole story, near the files' longer stories."""


@dataclass
class _World:
    """What is known after the facts so far; numbers are indexes into `facts`."""

    facts: list[str] = field(default_factory=list)
    place: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Person -> (room, the walk that said so)."""
    holder: dict[str, str] = field(default_factory=dict)
    """Thing -> the person who holds it."""
    handled: dict[str, int] = field(default_factory=dict)
    """Thing -> the last take or drop."""
    path: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Thing -> its rooms in order, each with the walk that brought it there."""

    def walk(self, stream: random.Random) -> None:
        person = stream.choice(PEOPLE)
        here = self.place.get(person, ("", -1))[0]
        room = stream.choice([room for room in ROOMS if room != here])
        self.facts.append(f"{person} {stream.choice(_WALKS)} to the {room}.")
        self.place[person] = (room, len(self.facts) - 1)
        for thing, holder in self.holder.items():
            if holder == person:
                self.path[thing].append(self.place[person])

    def handle(self, stream: random.Random) -> bool:
        """Take or drop a thing; False where nobody can."""
        options = [(person, thing) for thing, person in self.holder.items()]
        options += [(person, thing) for person in self.place for thing in THINGS if self._can_take(person, thing)]
        if not options:
            return False
        person, thing = stream.choice(options)
        there = " there" if stream.random() < 0.3 else ""
        if self.holder.get(thing) == person:
            self.facts.append(f"{person} {stream.choice(_DROPS)} the {thing}{there}.")
            del self.holder[thing]
        else:
            self.facts.append(f"{person} {stream.choice(_TAKES)} the {thing}{there}.")
            self.holder[thing] = person
            if thing not in self.path:
                self.path[thing] = [self.place[person]]
        self.handled[thing] = len(self.facts) - 1
        return True

    def _can_take(self, person: str, thing: str) -> bool:
        if thing in self.holder:
            return False
        return thing not in self.path or self.path[thing][-1][0] == self.place[person][0]


def simulate_story(task: str, story: int, stream: random.Random) -> list[Question]:
    """The five questions of one story of `task` (qa1, qa2 or qa3), facts growing from question to question."""
    world = _World()
    total = _STORY_FACTS[task]
    questions: list[Question] = []
    for part in range(1, QUESTIONS_PER_STORY + 1):
        while len(world.facts) < total * part // QUESTIONS_PER_STORY or not _askable(task, world):
            if stream.random() < _WALK_SHARE[task] or not world.handle(stream):
                world.walk(stream)
        text, answer, supporting = stream.choice(_askable(task, world))
        questions.append(
            Question(
                number=story * QUESTIONS_PER_STORY + part - 1,
                story=story,
                facts=tuple(world.facts),
                supporting=tuple(sorted(set(supporting))),
                question=text,
                answer=answer,
            )
        )
    return questions


def _askable(task: str, world: _World) -> list[tuple[str, str, tuple[int, ...]]]:
    """Each (question with bAbI's trailing blank, answer, supporting facts) that the world can answer now."""
    if task == "qa1":
        return [(f"Where is {person}? ", room, (fact,)) for person, (room, fact) in world.place.items()]
    if task == "qa2":
        return [
            (f"Where is the {thing}? ", path[-1][0], (path[-1][1], world.handled[thing]))
            for thing, path in world.path.items()
        ]
    return [
        (f"Where was the {thing} before the {room}? ", before, (before_fact, fact, world.handled[thing]))
        for thing, path in world.path.items()
        for (before, before_fact), (room, fact) in itertools.pairwise(path)
        if [r for r, _ in path].count(room) == 1  # asked about a room it came to once, so that one answer is right
    ]
