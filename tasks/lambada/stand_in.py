"""Generated passages that stand in for LAMBADA where no data folder is named."""

from __future__ import annotations

import functools
import random

from ropepp_eval.streams import private_stream

STAND_IN_PASSAGES = 2400
"""Enough to fill 128k tokens of GPT-2's tokenizer."""

_NAMES = (
    "Maren Tobias Ilse Calder Noor Petra Anselm Yusuf Greta Dorian Imani Felix Saskia Ruben Thea Magnus Odile Kenji Lorena"
).split()
_THINGS = "\
lantern kettle ledger compass violin blanket hammer telescope basket mirror saddle anchor candle map bell rope".split()
_PLACES = "\
the harbour, the mill, the old chapel, the market, the orchard, the station, the quarry, the upper field".split(", ")
_WEATHER = "rain, fog, a dry wind, the first snow, a pale sun, thunder far away".split(", ")
_OPENINGS = (
    "{name} had carried the {thing} all the way from {place}.",
    "It was {name} who found the {thing} behind {place}.",
    "Nobody at {place} believed that the {thing} belonged to {name}.",
)
_MIDDLES = (
    "There was {weather} over the road, and the carts came late.",
    "The others argued about the price of wood until it was dark.",
    "A dog barked twice and then thought better of it.",
    "Someone had left the gate open, so the goats were in the garden again.",
    "They ate bread and cold soup and spoke of the winter.",
    "In the kitchen the clock had stopped at a quarter past four.",
    "The letter had come that morning, but it stayed unopened on the table.",
)
_ENDINGS = (
    ('"Keep it dry," she told {name}, and she handed back the', "thing"),
    ("When they reached the door at last, {name} reached into the cart and lifted out the", "thing"),
    ("The one who had brought the {thing} stood up then, and everybody looked at", "name"),
    ("Of all the people in the room, only one knew where the {thing} came from, and that was", "name"),
)


@functools.lru_cache(maxsize=1)
def stand_in_passages() -> tuple[str, ...]:
    """Passages whose last word stands earlier in them, and whose last sentence alone does not tell it."""
    return tuple(_passage(private_stream("lambada stand-in", number)) for number in range(STAND_IN_PASSAGES))


def _passage(stream: random.Random) -> str:
    words = {"name": stream.choice(_NAMES), "thing": stream.choice(_THINGS), "place": stream.choice(_PLACES)}
    words["weather"] = stream.choice(_WEATHER)
    middles = stream.sample(_MIDDLES, stream.randint(3, 5))
    ending, last = stream.choice(_ENDINGS)
    sentences = [stream.choice(_OPENINGS), *middles, ending]
    return " ".join(sentence.format(**words) for sentence in sentences) + f" {words[last]}"
