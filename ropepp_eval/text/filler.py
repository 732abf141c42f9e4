"""Grammatical filler: English-looking paragraphs without a source, where no corpus is at hand.

Sentences are drawn from a small grammar with some ten million outcomes, so no template is repeated endlessly. They hold
no digits and none of the words that RULER's questions look for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from ropepp_eval.streams import private_stream

_PEOPLE = "baker carpenter doctor farmer gardener judge keeper librarian mason merchant miller musician painter pilot \
potter sailor scholar shepherd singer student tailor teacher traveller weaver widow writer".split()
_ADJECTIVES = "careful cheerful clever curious elderly famous gentle honest lonely nervous patient proud quiet restless \
serious shy stubborn tired weary young".split()
_THINGS = "barrel basket blanket bottle box candle chair clock coat drum kettle ladder lamp letter map mirror notebook \
plough rope saddle scarf shovel spoon table trunk wheel window".split()
_QUALITIES = "battered blue broken carved dusty empty faded green heavy narrow old painted plain polished red rough \
rusty small white wooden yellow".split()
_PLACES = "attic barn bridge cellar courtyard field forest garden harbour hill inn kitchen library market meadow mill \
orchard river school square stable station tower valley village well workshop".split()
_DEEDS = "borrowed brought carried cleaned copied described dropped examined found hid lent lost measured mended moved \
noticed painted remembered returned sold stored washed".split()
_THOUGHTS = "believed complained explained feared guessed hoped insisted remarked suspected wrote".split()
_WEATHER = "clear cold damp foggy frosty mild rainy stormy sunny warm windy".split()
_TIMES = "afternoon autumn evening harvest holiday journey morning night spring storm summer winter".split()
_JOINS = "although because before since unless until when while".split()


def filler_sentences(*name: str | int) -> Iterator[str]:
    """Sentences without end, the same ones for the same `name` on every machine."""
    stream = private_stream("filler", *name)
    while True:
        yield _sentence(stream)


def filler_words(count: int, *name: str | int) -> tuple[list[str], list[int]]:
    """The first `count` words of the filler, and the index of the word that begins each sentence."""
    words: list[str] = []
    begins: list[int] = []
    sentences = filler_sentences(*name)
    while len(words) < count:
        begins.append(len(words))
        words.extend(next(sentences).split(" "))
    return words[:count], begins


def _sentence(stream: random.Random) -> str:
    make = stream.choice((_deed, _deed, _thought, _weather, _joined, _there))
    text = make(stream)
    return text[0].upper() + text[1:] + "."


def _person(stream: random.Random) -> str:
    return f"the {stream.choice(_ADJECTIVES)} {stream.choice(_PEOPLE)}"


def _thing(stream: random.Random) -> str:
    return f"{stream.choice(('the', 'that', 'this'))} {stream.choice(_QUALITIES)} {stream.choice(_THINGS)}"


def _place(stream: random.Random) -> str:
    return f"{stream.choice(('behind', 'beside', 'in', 'near', 'outside'))} the {stream.choice(_PLACES)}"


def _deed(stream: random.Random) -> str:
    return f"{_person(stream)} {stream.choice(_DEEDS)} {_thing(stream)} {_place(stream)}"


def _thought(stream: random.Random) -> str:
    return f"{_person(stream)} {stream.choice(_THOUGHTS)} that {_deed(stream)}"


def _weather(stream: random.Random) -> str:
    return f"it was a {stream.choice(_WEATHER)} {stream.choice(_TIMES)}, and {_deed(stream)}"


def _joined(stream: random.Random) -> str:
    return f"{stream.choice(_JOINS)} {_deed(stream)}, {_deed(stream)}"


def _there(stream: random.Random) -> str:
    return f"{_place(stream)} there stood a {stream.choice(_QUALITIES)} {stream.choice(_THINGS)}, and {_deed(stream)}"
