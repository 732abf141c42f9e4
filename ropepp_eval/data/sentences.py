"""Sentences of a plain text, split by an untrained Punkt model as NLTK 3.8.1 has it.

BABILong splits its books with `nltk.PunktSentenceTokenizer()`, which knows no abbreviation, no collocation and no word
statistics. What is left of Punkt (Kiss and Strunk, 2006) then is one rule for each candidate stop, written out here: NLTK
3.10.2 changed its treatment of curly closing quotes, so going through the installed NLTK would make rows depend on its
version. Nothing is downloaded or trained.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_CLOSING = r"""[)";}\]*:@'({\[?!]"""
"""Marks that are tokens of their own and may follow a stop without a blank."""
_CANDIDATE = re.compile(rf"[.?!](?=(?P<after>{_CLOSING}|\s+(?P<next>\S+)))")
_DASHES_OR_DOTS = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
_TOKEN = re.compile(
    rf"""
    {_DASHES_OR_DOTS}
    | (?=[^("`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_CLOSING}|{_DASHES_OR_DOTS}|,(?=$|\s|{_CLOSING}|{_DASHES_OR_DOTS}))
    | \S
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*\.?$")
_INITIAL = re.compile(r"[^\W\d]\.$")
_REALIGNED = re.compile(r"""["')\]}]+?(?:\s+|(?=--)|$)""", re.MULTILINE)
_PUNCTUATION = frozenset(";:,.!?")


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, none of them empty; blanks between sentences are dropped, those inside kept."""
    return [text[begin:end] for begin, end in sentence_spans(text)]


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end (characters of `text`) of each sentence."""
    shift = 0
    spans = list(_raw_spans(text))
    for index, (begin, end) in enumerate(spans):
        begin += shift
        shift = 0
        if index + 1 < len(spans):
            following_begin, following_end = spans[index + 1]
            # a quote or bracket that opens the next span closes this sentence
            moved = _REALIGNED.match(text[following_begin:following_end])
            if moved:
                end = following_begin + len(moved.group().rstrip())
                shift = moved.end()
        if begin < end:
            yield begin, end


def _raw_spans(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    for stop, context, next_begin in _contexts(text):
        if _breaks(context):
            yield begin, stop
            begin = next_begin
    yield begin, len(text.rstrip())


def _contexts(text: str) -> Iterator[tuple[int, str, int]]:
    """Each candidate stop: (its end, the word before it with the stop and what follows, where a new sentence would begin).

    Of the stops inside one word (`acting!!!`) only the last counts.
    """
    pending: tuple[int, str, int] | None = None
    pending_stop = 0  # where the word before the last candidate ended
    word_begin = 0
    for match in _CANDIDATE.finditer(text):
        blank = _last_blank(text, pending_stop, match.start())
        begin = word_begin if blank <= pending_stop else blank + 1
        if pending is not None and pending_stop <= begin:
            yield pending
        follows = match.start("next") if match["next"] else match.end()
        pending = (match.end(), text[begin : match.end()] + match["after"], follows)
        word_begin, pending_stop = begin, match.start()
    if pending is not None:
        yield pending


def _last_blank(text: str, begin: int, end: int) -> int:
    for position in range(end - 1, begin - 1, -1):
        if text[position].isspace():
            return position
    return begin


def _breaks(context: str) -> bool:
    """Whether a token of `context` ends a sentence; its last token can't, nothing follows it there."""
    tokens: list[str] = _TOKEN.findall(context)
    return any(_ends_sentence(token, following) for token, following in itertools.pairwise(tokens))


def _ends_sentence(token: str, following: str) -> bool:
    if token in ("?", "!"):
        return True
    if not token.endswith(".") or token.endswith(".."):
        return False
    initial = _INITIAL.match(token) is not None
    if initial or _is_number(token):  # `J. Bach`, `12. of May`: no sentence begins after these
        lower_or_mark = following in _PUNCTUATION or following[0].islower()
        return not (lower_or_mark or (initial and following[0].isupper()))
    return True


def _is_number(token: str) -> bool:
    """As Punkt types it: the whole token is a number, its final period aside."""
    return _NUMBER.match(token.lower()) is not None
