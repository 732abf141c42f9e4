"""Generated facts and questions that stand in for OpenBookQA where no data folder is named."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from ropepp_eval.streams import private_stream

_KINDS = "copper, oak, granite, wool, amber, ice, rubber, clay, salt, silver, straw, glass, wax, coal, paper".split(", ")
_OBJECTS = (
    "spoon ladle gate bench bowl roof button chain handle jar ladder needle plank ring shelf tile vase wheel basin bucket "
    "comb door fork frame hook knob lamp mask pipe rod sieve tray urn whistle"
).split()
_PLACES = "harbour mill chapel market orchard station quarry school tower library bakery farm museum theatre forge garden \
abbey bridge castle cellar chalet convent factory fort hospital hotel inn lighthouse palace prison shipyard stable".split()
_COLOURS = "red blue green yellow black white brown grey orange purple pink golden".split()
_QUESTIONS, _TRAIN, _BOOK = 200, 2400, 1326


@functools.lru_cache(maxsize=1)
def stand_in_records() -> dict[str, Any]:
    """`test` and `train` questions in the data set's schema, `book` and `crowd` facts, as its files would give them.

    A fact says what an object at a place is made of; a question asks for one object's material, so only its fact tells.
    """
    stream = private_stream("openbookqa stand-in")
    named = [f"the {c} {o} of the {p}" for c, o, p in itertools.product(_COLOURS, _OBJECTS, _PLACES)]
    stream.shuffle(named)
    made_of = {name: stream.choice(_KINDS) for name in named}
    facts = [f"{name} is made of {kind}" for name, kind in made_of.items()]
    asked = [_question(number, name, kind) for number, (name, kind) in enumerate(list(made_of.items())[:_BOOK])]
    train = [_question(number, name, kind) for number, (name, kind) in enumerate(list(made_of.items())[-_TRAIN:])]
    return {"test": asked[:_QUESTIONS], "train": train, "book": facts[:_BOOK], "crowd": facts[_BOOK:-_TRAIN]}


def _question(number: int, name: str, kind: str) -> dict[str, Any]:
    stream = private_stream("openbookqa stand-in", name)
    texts = [kind, *stream.sample([other for other in _KINDS if other != kind], 3)]
    stream.shuffle(texts)
    return {
        "id": f"stand-in-{number}",
        "question": {
            "stem": f"If you touch {name}, your fingers feel",
            "choices": [{"text": text, "label": label} for text, label in zip(texts, "ABCD", strict=True)],
        },
        "answerKey": "ABCD"[texts.index(kind)],
        "fact1": f"{name} is made of {kind}",
    }
