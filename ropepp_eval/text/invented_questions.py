"""Invented documents with questions about them, where no question-answering corpus is at hand.

Each article is about an invented person: a paragraph that says where the person lives, one that names the person's
teacher, and filler around both. `articles(n)` begins with `articles(m)` for m < n.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ropepp_eval.streams import private_stream
from ropepp_eval.text.filler import filler_sentences

_FIRST = "Ada Bela Cora Dario Edda Falk Gita Hugo Ines Joris Kira Lennart Mara Nils Olga Piet Rosa Sven Tilda Viktor".split()
_BEGIN = "Al Bar Cor Del Er Fen Gal Hol Is Jor Kar Lin Mor Nor Os Pel Ran Sal Tor Ul Var Wen".split()
_MIDDLE = "a be da e gi ka li mo na o ri sa ti u ve".split()
_END = "berg dorn field ford grove ham holm land mar mere ness stead thorpe ton vale wick".split()
_SENTENCES = 4


@dataclass(frozen=True)
class Article:
    """One invented person in two paragraphs."""

    person: str
    town: str
    teacher: int
    """Number of the article about the person's teacher, a later one."""
    home: str
    """The paragraph that says in which town the person lives."""
    lessons: str
    """The paragraph that says who taught the person."""


def articles(count: int) -> list[Article]:
    """The first `count` articles; a teacher may be among the ten that would follow them."""
    people = list(itertools.islice(_people(), count + 10))
    sentences = filler_sentences("questions")
    found = []
    for number in range(count):
        stream = private_stream("article", number)
        teacher = number + stream.randint(1, 10)
        person, town = people[number], _place(number)
        home = _paragraph(sentences, f"{person} lives in the town of {town}.", stream.randrange(_SENTENCES))
        lessons = _paragraph(sentences, f"{person} was taught by {people[teacher]}.", stream.randrange(_SENTENCES))
        found.append(Article(person, town, teacher, home, lessons))
    return found


def _paragraph(sentences: Iterator[str], fact: str, place: int) -> str:
    lines = [next(sentences) for _ in range(_SENTENCES)]
    lines.insert(place, fact)
    return " ".join(lines)


def _people() -> Iterator[str]:
    """Names without repeats: first names change fastest, family names are drawn once each."""
    for number in itertools.count():
        yield f"{_FIRST[number * 7 % len(_FIRST)]} {_name('person', number)}"


def _place(number: int) -> str:
    return _name("town", number)


def _name(kind: str, number: int) -> str:
    """A made-up name; its number, written in syllables, keeps it apart from all others of its kind."""
    middles: list[str] = []
    rest = number
    while rest or not middles:
        rest, syllable = divmod(rest, len(_MIDDLE))
        middles.append(_MIDDLE[syllable])
    stream = private_stream("name", kind, number)
    return stream.choice(_BEGIN) + "".join(middles) + stream.choice(_END)
