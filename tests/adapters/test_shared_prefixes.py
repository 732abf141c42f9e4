"""Any mix of prefixes, lengths, budgets and chunk sizes gives the scores of one-by-one scoring."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropepp_eval.adapters.native import NativeLM, grouping, scoring
from ropepp_eval.forecasts import limits
from tests.adapters.toys import Letters, instances, slow_score, tiny_llama

MODELS = {name: tiny_llama(attention=name) for name in ("sdpa", "eager")}
LETTERS = st.sampled_from("abcd ")


@st.composite
def requests(draw: Any) -> list[tuple[str, str]]:
    """Contexts that grow out of each other, with continuations that often begin alike."""
    pool = [draw(st.text(LETTERS, max_size=40))]
    for _ in range(draw(st.integers(0, 4))):
        base = draw(st.sampled_from(pool))
        pool.append(base[: draw(st.integers(0, len(base)))] + draw(st.text(LETTERS, max_size=30)))
    continuations = st.text(st.sampled_from("abc"), min_size=1, max_size=6)
    return draw(st.lists(st.tuples(st.sampled_from(pool), continuations), min_size=1, max_size=12))


@settings(max_examples=150, deadline=None)
@given(
    pairs=requests(),
    kernel=st.sampled_from(sorted(MODELS)),
    call_tokens=st.sampled_from([0, 1, 4, 128]),
    packed_tokens=st.sampled_from([0, 8, 1024]),
    batch_tokens=st.sampled_from([1, 50, 8192]),
    chunk_tokens=st.sampled_from([1, 3, 16, 4096]),
    batch_size=st.sampled_from([None, 1, 3]),
    deterministic=st.booleans(),
)
def test_scores_equal_one_by_one_scores(
    pairs: list[tuple[str, str]],
    kernel: str,
    call_tokens: int,
    packed_tokens: int,
    batch_tokens: int,
    chunk_tokens: int,
    batch_size: int | None,
    deterministic: bool,
) -> None:
    lm = NativeLM.from_objects(
        MODELS[kernel],
        Letters(),
        batch_tokens=batch_tokens,
        chunk_tokens=chunk_tokens,
        batch_size=batch_size,
        deterministic=deterministic,
    )
    with (
        mock.patch.object(grouping, "CALL_TOKENS", call_tokens),
        mock.patch.object(grouping, "PACKED_TOKENS", packed_tokens),
        mock.patch.object(scoring, "PACKED_TOKENS", packed_tokens),
        mock.patch.dict(limits.LIMITS, cpu=dataclasses.replace(limits.LIMITS["cpu"], head_elements=500)),
    ):
        answers = dict(lm.answers(instances("loglikelihood", *pairs)))
    assert sorted(answers) == list(range(len(pairs)))
    for number, (context, continuation) in enumerate(pairs):
        before, after = lm.encoder.pair(context, continuation)
        value, greedy = slow_score(MODELS[kernel], before, after)
        assert answers[number].error is None
        assert answers[number].response[0] == pytest.approx(value, abs=1e-4, rel=1e-5)
        assert answers[number].response[1] == greedy


def spans_of(pairs: list[tuple[str, str]]) -> list[Any]:
    encoder = NativeLM.from_objects(MODELS["sdpa"], Letters()).encoder
    jobs = [encoder.job(i, request) for i, request in enumerate(instances("loglikelihood", *pairs))]
    return [((job.index, 0), job.spans[0]) for job in jobs]


@settings(max_examples=100, deadline=None)
@given(pairs=requests(), batch_tokens=st.integers(1, 300), chunk_tokens=st.integers(1, 100), call_tokens=st.integers(0, 20))
def test_every_span_is_planned_once_within_the_budgets(
    pairs: list[tuple[str, str]], batch_tokens: int, chunk_tokens: int, call_tokens: int
) -> None:
    limits = grouping.Limits(batch_tokens=batch_tokens, chunk_tokens=chunk_tokens)
    with mock.patch.object(grouping, "CALL_TOKENS", call_tokens):
        units = grouping.build_units(grouping.build_stems(spans_of(pairs)), limits)
    owners = [owner for unit in units for stem in unit.stems for owner in stem.owners]
    assert sorted(owners) == [(i, 0) for i in range(len(pairs))]
    for unit in units:
        if isinstance(unit, grouping.FlatBatch):
            assert unit.longest <= chunk_tokens
            assert len(unit.stems) == 1 or unit.padded_tokens <= batch_tokens
            assert unit.padded_tokens - unit.tokens <= grouping.PADDING * unit.padded_tokens


def test_a_long_context_is_read_once_for_all_choices_and_questions() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), max_length=2048)
    book = "the book says " * 100
    pairs = [(book + question, choice) for question in ("who", "what is it") for choice in (" a", " bb", " ccc", " dd")]
    plan = lm.plan(instances("loglikelihood", *pairs))
    assert plan.tokens < len(book) + 100
    assert plan.one_by_one_tokens > 8 * len(book)
    decoder = lm.model.model
    with mock.patch.object(decoder, "forward", wraps=decoder.forward) as forward:
        list(lm.answers(instances("loglikelihood", *pairs)))
        read = [call.kwargs["input_ids"].numel() for call in forward.call_args_list]
    assert sum(read) == plan.tokens


def test_ten_thousand_requests_of_one_token_are_answered() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters())
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    pairs = [(letters[i % 50], letters[(i * 7) % 52]) for i in range(10_000)]
    decoder = lm.model.model
    with mock.patch.object(decoder, "forward", wraps=decoder.forward) as forward:
        answers = dict(lm.answers(instances("loglikelihood", *pairs)))
    assert forward.call_count == 1  # 50 different contexts
    assert len(answers) == 10_000
    for number in range(0, 10_000, 997):
        value, _ = slow_score(lm.model, *lm.encoder.pair(*pairs[number]))
        assert answers[number].response[0] == pytest.approx(value, abs=1e-5)


def test_scores_do_not_depend_on_batch_size_or_order() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh "), size=rng.integers(1, 60))).strip() + "x" for _ in range(40)]
    pairs = [(word, choice) for word in words for choice in ("a", "bc")]
    results = []
    for batch_size, order in ((None, 1), (1, 1), (7, -1)):
        lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), batch_size=batch_size)
        values = [value for value, _ in lm.loglikelihood(instances("loglikelihood", *pairs[::order]), disable_tqdm=True)]
        results.append(values[::order])
    np.testing.assert_allclose(results[1], results[0], atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(results[2], results[0], atol=1e-5, rtol=1e-6)


def test_long_rows_in_bfloat16_do_not_depend_on_batch_or_order() -> None:
    model = tiny_llama(max_position_embeddings=4096).bfloat16()
    rng = np.random.default_rng(2)
    pairs = [("".join(rng.choice(list("abcdefgh"), size=size)), "ab") for size in (1500, 1600, 1520, 1100)]
    pairs += [(pairs[0][0], "c"), ("abc", "d"), ("abcd", "e")]
    results = []
    for batch_size, order in ((None, 1), (1, -1)):
        lm = NativeLM.from_objects(model, Letters(), batch_size=batch_size)
        values = [value for value, _ in lm.loglikelihood(instances("loglikelihood", *pairs[::order]), disable_tqdm=True)]
        results.append(values[::order])
    assert results[0][:5] == results[1][:5]


def test_deterministic_scores_are_bit_equal_whatever_else_is_asked() -> None:
    pairs = [("the book says " * 6 + q, c) for q in ("x", "yy", "zzz") for c in ("a", "bb", "ccc")]
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), deterministic=True, chunk_tokens=32)
    together = lm.loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True)
    alone = [lm.loglikelihood(instances("loglikelihood", pair), disable_tqdm=True)[0] for pair in reversed(pairs)]
    assert together == alone[::-1]
