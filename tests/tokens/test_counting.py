"""Counting by pieces gives the tokenizer's own count, whatever the text and the kind of tokenizer."""

from __future__ import annotations

import functools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropepp_eval.text.filler import filler_words
from ropepp_eval.tokens.counting import PieceCounter, pieces_of
from tests.tokens.tokenizers_to_try import KINDS

PARTS = [
    "The",
    "grass",
    "isn't",
    "3,141",
    ".",
    "...",
    " ",
    "  ",
    " \n",
    "\n",
    "\n\n",
    "\t",
    "\u00a0",
    "\u2003",
    "VAR",
    "X-1f0c",
    "é",
    "—",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


@functools.cache
def counter(kind: str) -> PieceCounter:
    return PieceCounter(KINDS[kind]())


@given(TEXTS)
def test_the_quick_split_equals_the_regular_expression(text: str) -> None:
    expected = re.split(r"(?<=\S) (?=\S)", text)
    assert [piece.replace("\x00", " ") for piece in pieces_of(text)] == expected


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
@settings(deadline=None, max_examples=150)
def test_pieces_add_up_to_the_real_count(kind: str, text: str) -> None:
    assert counter(kind).count(text) == counter(kind).tokenizer.count(text)


@pytest.mark.parametrize("kind", KINDS)
@given(before=TEXTS, text=TEXTS)
@settings(deadline=None, max_examples=50)
def test_text_between_cuts_adds_its_own_count(kind: str, before: str, text: str) -> None:
    begin, end = f"a{before}b", f" c{text}"
    if counter(kind).independent:
        assert counter(kind).count(begin + end) == counter(kind).count(begin) + counter(kind).count_inside(end)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_counted_alike_before_and_after_its_words_are_known(kind: str) -> None:
    text = " ".join(filler_words(400, "count")[0])
    fresh = PieceCounter(KINDS[kind]())
    assert fresh.count(text) == fresh.count(text) == fresh.tokenizer.count(text)


def test_tokens_across_blanks_switch_to_real_counts() -> None:
    assert not counter("across_words").independent
    assert all(counter(kind).independent for kind in KINDS if kind != "across_words")


@pytest.mark.parametrize("kind", ["like_gpt2", "like_llama3", "like_bert"])
@given(text=TEXTS.filter(bool), shares=st.lists(st.floats(0, 1), max_size=4))
@settings(deadline=None, max_examples=100)
def test_positions_are_the_tokens_before_an_offset_up_to_the_one_across_it(
    kind: str, text: str, shares: list[float]
) -> None:
    text = "It begins " + text
    offsets = sorted(int(share * len(text)) for share in shares)
    expected = [counter(kind).tokenizer.count(text[:offset].rstrip(" ")) for offset in offsets]
    assert counter(kind).positions(text, offsets) == expected


def test_a_text_that_begins_at_no_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin at a cut"):
        counter("like_gpt2").count_inside("word")
