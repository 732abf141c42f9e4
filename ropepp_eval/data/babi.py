"""bAbI v1.2 files: stories of numbered lines, and the questions inside them.

A line is `ID text` or `ID question<TAB>answer<TAB>supporting IDs`; the ID restarts at 1 with each story.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.data.text_files import read_text
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert


@dataclass(frozen=True, kw_only=True)
class Question:
    """One bAbI question with all facts that stand before it in its story (earlier questions left out)."""

    number: int
    """Number of the question in its file, from 0."""
    story: int
    """Number of the story in its file, from 0."""
    facts: tuple[str, ...]
    supporting: tuple[int, ...]
    """Indexes into `facts` of the supporting facts, in story order."""
    question: str
    """As the file has it, trailing blank included."""
    answer: str


@dataclass(frozen=True)
class _Line:
    identifier: int
    text: str
    answer: str | None = None
    supporting: tuple[int, ...] = ()


def read_questions(path: Path) -> list[Question]:
    """All questions of a bAbI file, in file order.

    Raises:
        UserError: a line does not parse, or an ID is out of order (file and line number are named).
    """
    return _questions_of(read_text(path), inert(path))


def _questions_of(text: str, source: str) -> list[Question]:
    questions: list[Question] = []
    facts: dict[int, str] = {}
    story, last = -1, 0
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        line = _parse(raw, source, number)
        if line.identifier == 1:
            story, facts, last = story + 1, {}, 0
        if line.identifier != last + 1:
            raise _broken(source, number, f"ID {line.identifier} after {last}", f"1 or {last + 1}")
        last = line.identifier
        if line.answer is None:
            facts[line.identifier] = line.text
        else:
            questions.append(_question(line, facts, len(questions), story, source, number))
    if not questions:
        raise UserError(f"bAbI file {source} holds no question; put back the original file (`ropepp-eval data prepare`)")
    return questions


def _question(line: _Line, facts: dict[int, str], number: int, story: int, source: str, at: int) -> Question:
    order = {identifier: index for index, identifier in enumerate(facts)}
    missing = [identifier for identifier in line.supporting if identifier not in order]
    if missing:
        raise _broken(source, at, f"supporting ID {missing[0]}", "the IDs of facts before it in its story")
    return Question(
        number=number,
        story=story,
        facts=tuple(facts.values()),
        supporting=tuple(sorted({order[identifier] for identifier in line.supporting})),
        question=line.text,
        answer=line.answer or "",
    )


def _parse(raw: str, source: str, number: int) -> _Line:
    head, blank, rest = raw.partition(" ")
    if not blank or not head.isascii() or not head.isdigit() or not rest.strip():
        raise _broken(source, number, repr(raw[:60]), "`ID text` or `ID question<TAB>answer<TAB>supporting IDs`")
    if "\t" not in rest:
        return _Line(int(head), rest)
    fields = rest.split("\t")
    identifiers = fields[2].split() if len(fields) == 3 else []
    if (
        not identifiers
        or not fields[0].strip()
        or not fields[1].strip()
        or not all(part.isascii() and part.isdigit() for part in identifiers)
    ):
        raise _broken(source, number, repr(raw[:60]), "`ID question<TAB>answer<TAB>supporting IDs`")
    return _Line(int(head), fields[0], fields[1], tuple(int(part) for part in identifiers))


def _broken(source: str, number: int, got: str, allowed: str) -> UserError:
    return UserError(
        f"bAbI file {source}, line {number}: {got} where {allowed} is allowed; "
        "put back the original file (`ropepp-eval data prepare`)"
    )
