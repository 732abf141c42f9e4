"""Generated text is the same everywhere, reads like sentences, and hardly repeats itself."""

from __future__ import annotations

import itertools
import re

from ropepp_eval.text.filler import filler_sentences, filler_words
from ropepp_eval.text.invented_questions import articles


def test_the_same_name_gives_the_same_sentences_and_another_name_others() -> None:
    first, again, other = (list(itertools.islice(filler_sentences(name), 50)) for name in ("a", "a", "b"))
    assert first == again != other


def test_sentences_hold_no_digits_and_hardly_repeat() -> None:
    sentences = list(itertools.islice(filler_sentences("x"), 5000))
    assert all(re.fullmatch(r"[A-Z][a-z, ]+\.", sentence) for sentence in sentences)
    assert len(set(sentences)) > 4990


def test_more_words_begin_with_the_fewer_ones() -> None:
    (few, few_begins), (many, many_begins) = filler_words(100, "x"), filler_words(500, "x")
    assert many[:100] == few
    assert many_begins[: len(few_begins)] == few_begins
    assert all(many[i][0].isupper() for i in many_begins)


def test_invented_articles_answer_their_questions_once_and_grow_by_prefix() -> None:
    few, many = articles(40), articles(400)
    assert many[:40] == few
    assert len({article.person for article in many}) == len({article.town for article in many}) == 400
    for number, article in enumerate(many[:-10]):
        assert f"{article.person} lives in the town of {article.town}." in article.home
        assert article.teacher > number
        assert f"{article.person} was taught by {many[article.teacher].person}." in article.lessons
