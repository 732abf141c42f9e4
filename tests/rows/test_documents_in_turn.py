"""Questions by document in turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ropepp_eval.rows.documents import documents_in_turn


@given(st.lists(st.integers(0, 6), max_size=40))
def test_every_item_comes_once_and_no_document_is_ahead_of_one_that_has_more_to_give(documents):
    items = list(enumerate(documents))
    ordered = documents_in_turn(items, lambda item: item[1])
    assert sorted(ordered) == items
    given_so_far = dict.fromkeys(documents, 0)
    for _, document in ordered:
        waiting = [other for other in given_so_far if given_so_far[other] < documents.count(other)]
        assert given_so_far[document] == min(given_so_far[other] for other in waiting)
        given_so_far[document] += 1


def test_a_round_mixes_first_and_last_items():
    items = [(story, question) for story in range(5) for question in range(5)]
    assert documents_in_turn(items, lambda item: item[0])[:5] == [(n, n) for n in range(5)]
