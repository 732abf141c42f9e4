"""Texts that are scored from their second token on: equal to one pass over each, and what choices share is computed once."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropepp_eval.adapters.native import NativeLM, grouping
from tests.adapters.toys import Letters, instances, slow_score, tiny_llama

MODEL = tiny_llama()
TEXTS = st.text(st.sampled_from("abcd ~"), max_size=30)


def one_pass(text: str, window: int) -> float:
    """The sum of the log-probabilities of a text's last tokens, EOS left out, by a forward pass for each."""
    ids = Letters().encode(text)[-window:]
    return sum(slow_score(MODEL, ids[:place], ids[place : place + 1])[0] for place in range(1, len(ids)) if ids[place])


@settings(max_examples=60, deadline=None)
@given(
    context=TEXTS.map(str.rstrip),
    choices=st.lists(TEXTS, min_size=1, max_size=4),
    window=st.integers(1, 40),
    call_tokens=st.sampled_from([0, 1, 128]),
    chunk_tokens=st.sampled_from([3, 4096]),
)
def test_scores_are_those_of_one_pass_over_each_text(
    context: str, choices: list[str], window: int, call_tokens: int, chunk_tokens: int
) -> None:
    lm = NativeLM.from_objects(MODEL, Letters(), chunk_tokens=chunk_tokens)
    choices = [choice for choice in choices if context + choice]
    requests = instances("whole_text", *((context, choice, {"window": window}) for choice in choices))
    with mock.patch.object(grouping, "CALL_TOKENS", call_tokens):
        answers = dict(lm.answers(requests))
    for number, choice in enumerate(choices):
        assert answers[number].error is None
        assert answers[number].response[0] == pytest.approx(one_pass(context + choice, window), abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("choices", [2, 4])
def test_a_long_question_is_read_once_for_all_its_choices(choices: int) -> None:
    lm = NativeLM.from_objects(MODEL, Letters(), max_length=2048)
    passage = "the passage says " * 60
    requests: list[Any] = instances("whole_text", *((passage, f" {n}", {"window": 2048}) for n in range(choices)))
    plan = lm.plan(requests)
    assert plan.tokens < len(passage) + 3 * choices
    decoder = lm.model.model
    with mock.patch.object(decoder, "forward", wraps=decoder.forward) as forward:
        answers = dict(lm.answers(requests))
        read = [call.kwargs["input_ids"].numel() for call in forward.call_args_list]
    assert sum(read) == plan.tokens
    assert {answer.error for answer in answers.values()} == {None}


def test_a_text_over_the_models_positions_is_a_failed_request() -> None:
    lm = NativeLM.from_objects(MODEL, Letters(), max_length=16)
    ((_, answer),) = lm.answers(instances("whole_text", ("a" * 20, "b", {"window": 2048})))
    assert answer.error is not None
    assert answer.error.stage == "budget"
    assert "text of 21 tokens need 20 positions, the model has 16" in answer.error.message
    ((_, answer),) = lm.answers(instances("whole_text", ("a" * 20, "b", {"window": 17})))
    assert (answer.error, answer.cut) == (None, 4)
