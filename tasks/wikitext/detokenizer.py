"""From WikiText's tokenized lines back to running text, by the rules of lm-eval 0.4.13's `wikitext`, in their order."""

from __future__ import annotations

import re

_CLOSING = [(f" {mark} ", f"{mark} ") for mark in ":;.!?,"]
_BRACKETS = [("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'")]
_BEFORE = [("s '", "s'")]
_NEVER_MEANT = (re.compile(r"/' [0-9]/"), "/'[0-9]/")
"""lm-eval's rule for years (`' 90s`) is written with slashes, so it fires on `/' 9/` only and then writes its pattern."""
_NUMBERS = [(" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", ".")]
_AFTER = [
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
]


def detokenize(page: str) -> str:
    """The text that lm-eval scores for a page."""
    text = _replaced(page, _BEFORE)
    pattern, written = _NEVER_MEANT
    text = pattern.sub(lambda _: written, text)
    text = _replaced(text, _NUMBERS + _CLOSING)
    for opening, closing in _BRACKETS:
        text = closed_up(text, opening, closing)
    return _replaced(text, _AFTER)


def closed_up(text: str, opening: str, closing: str) -> str:
    r"""Each bracketed part without the blanks at its ends: what `re.sub(r"\[\s*([^]]*?)\s*\]", r"[\1]", text)` gives, in linear time.

    The expression is quadratic in the number of brackets that are never closed.
    """
    parts, at = [], 0
    while (begin := text.find(opening, at)) >= 0 and (end := text.find(closing, begin + 1)) >= 0:
        parts += [text[at : begin + 1], text[begin + 1 : end].strip(), closing]
        at = end + 1
    return "".join([*parts, text[at:]])


def _replaced(text: str, rules: list[tuple[str, str]]) -> str:
    for old, new in rules:
        text = text.replace(old, new)
    return text


def count_words(page: str) -> int:
    """Words as lm-eval counts them, before detokenizing: pieces between white space, empty ends included."""
    return len(re.split(r"\s+", page))
