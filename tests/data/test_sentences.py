"""The untrained Punkt splitter, written out: equal to NLTK 3.8.1, whatever version is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ropepp_eval.data.sentences import split_sentences


def test_sentences_equal_those_of_nltk_3_8_1(reference_tasks: Path, data_dir: Path) -> None:
    cases = [json.loads(line) for line in (reference_tasks / "babilong/sentences.jsonl").read_text("utf-8").splitlines()]
    assert len(cases) == 21
    for case in cases:
        text = case.get("text")
        if text is None:
            with (data_dir / "gutenberg" / case["book"]).open(encoding="utf-8", newline="") as file:
                text = file.read()[case["start"] : case["end"]]
        assert split_sentences(text) == case["sentences"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("   ", []),
        ("No stop here", ["No stop here"]),
        ("One. Two.", ["One.", "Two."]),
        ("He asked Mr. Lorry. Then he left.", ["He asked Mr.", "Lorry.", "Then he left."]),
        ("So said J. Bach to all.", ["So said J. Bach to all."]),
        ("In 1812. nothing fell. In 1813. Rain fell.", ["In 1812. nothing fell.", "In 1813.", "Rain fell."]),
        ("Wait... and see. Wait!!! Go.", ["Wait... and see.", "Wait!!!", "Go."]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("He said “no.” She left.", ["He said “no.” She left."]),
    ],
)
def test_a_stop_ends_a_sentence_unless_it_is_an_initial_a_number_or_an_ellipsis(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="AbcJ19 .?!,;:-'\"()[]{}*@&#`\n\t", max_size=60))
@example("acting!!! I promise. a. B c.d. -1. x")
@example('a. ") b. -- c')
def test_splitting_equals_the_installed_nltk_where_its_versions_agree(text: str) -> None:
    """NLTK's versions differ at curly quotes alone, which this alphabet lacks."""
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    assert split_sentences(text) == PunktSentenceTokenizer().tokenize(text)
