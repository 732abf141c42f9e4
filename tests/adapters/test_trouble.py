"""Memory that runs out and numbers that are not finite: what is done stays done, and the rest goes on."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import pytest
import torch

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.forecasts import limits
from tests.adapters.toys import Letters, instances, slow_generate, slow_score, tiny_llama

PAIRS = [("ab" * n + "c", choice) for n in (3, 5, 8, 40, 41) for choice in ("a", "bc")]


class SmallDevice:
    """Lets a model's forward run while what it is given is small, as a device with little memory does."""

    def __init__(self, decoder: Any, most_tokens: int, error: Exception) -> None:
        self.forward, self.most_tokens, self.error = decoder.forward, most_tokens, error
        self.patch = mock.patch.object(decoder, "forward", self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].numel() > self.most_tokens:
            raise self.error
        return self.forward(*args, **kwargs)


ERRORS = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("most_tokens", [64, 90, 160])
def test_scoring_goes_on_in_smaller_pieces_when_memory_runs_out(error: Exception, most_tokens: int) -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters())
    with SmallDevice(lm.model.model, most_tokens, error).patch:
        answers = dict(lm.answers(instances("loglikelihood", *PAIRS)))
    assert lm.events
    assert "out of memory" in lm.events[0]
    for number, pair in enumerate(PAIRS):
        value, greedy = slow_score(lm.model, *lm.encoder.pair(*pair))
        assert answers[number].response == (pytest.approx(value, abs=1e-5), greedy)


@pytest.mark.parametrize("most_tokens", [64, 100])
def test_generation_goes_on_with_fewer_rows_when_memory_runs_out(most_tokens: int) -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters())
    prompts = ["ab" * n + "c" for n in (3, 3, 3, 40, 50, 60)]
    with SmallDevice(lm.model.model, most_tokens, ERRORS[0]).patch:
        answers = dict(lm.answers(instances("generate_until", *[(p, {"max_gen_toks": 5}) for p in prompts])))
    assert lm.events
    for number, prompt in enumerate(prompts):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompt), 5)
        assert answers[number].response == lm.tokenizer.decode(expected, skip_special_tokens=True)


def test_a_request_that_never_fits_fails_and_the_others_are_answered() -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters())
    with SmallDevice(lm.model.model, 20, ERRORS[0]).patch:
        answers = dict(lm.answers(instances("loglikelihood", *PAIRS)))
        written = dict(lm.answers(instances("generate_until", ("a" * 80, {"max_gen_toks": 2}), ("a", {"max_gen_toks": 2}))))
    stages = [None if answers[i].error is None else answers[i].error.stage for i in range(len(PAIRS))]  # type: ignore[union-attr]
    assert stages == [None] * 6 + ["memory"] * 4
    assert written[0].error is not None
    assert written[0].error.stage == "memory"
    assert written[1].error is None


def test_an_error_of_another_kind_is_not_hidden() -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters())
    device = SmallDevice(lm.model.model, 0, RuntimeError("shape mismatch"))
    with device.patch, pytest.raises(RuntimeError, match="shape mismatch"):
        list(lm.answers(instances("loglikelihood", *PAIRS)))


def broken_model() -> Any:
    """A model that gives NaN wherever a `z` has been read: its embedding is NaN."""
    model = tiny_llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[Letters().encode("z")[0]] = torch.nan
    return model


def check_not_finite(answer: Answer, where: str) -> None:
    assert answer.response is None
    assert answer.error is not None
    assert answer.error.stage == "model"
    assert where in answer.error.message


@pytest.mark.parametrize("length", [2, 300])
def test_a_row_that_is_not_finite_fails_with_layer_and_position_and_spoils_no_other(length: int) -> None:
    lm = NativeLM.from_objects(broken_model(), Letters(), max_length=2048)
    book = "ab" * length
    pairs = [(book, "c"), (book + "z", "a"), (book + "a", "bzb"), (book + "a", "bab"), (book + "a", "cab")]
    answers = dict(lm.answers(instances("loglikelihood", *pairs)))
    check_not_finite(answers[1], f"the token embedding at position {2 * length}")
    check_not_finite(answers[2], f"the token embedding at position {2 * length + 2}")
    for number in (0, 3, 4):
        value, greedy = slow_score(lm.model, *lm.encoder.pair(*pairs[number]))
        assert answers[number].response == (pytest.approx(value, abs=1e-5), greedy)


def test_a_generation_that_is_not_finite_fails_and_its_neighbours_go_on() -> None:
    lm = NativeLM.from_objects(broken_model(), Letters())
    prompts = ["abab", "abaz", "abac"]
    answers = dict(lm.answers(instances("generate_until", *[(p, {"max_gen_toks": 6}) for p in prompts])))
    check_not_finite(answers[1], "position 3")
    for number in (0, 2):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompts[number]), 6)
        assert answers[number].response == lm.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rows_that_take_the_slot_of_one_that_was_not_finite_are_written_as_alone(rows: int) -> None:
    model = broken_model()
    with torch.no_grad():
        model.lm_head.weight[Letters().encode("z")[0]] = 0  # a row that writes it would fail by itself
    lm = NativeLM.from_objects(model, Letters(), batch_size=rows)
    prompts = ["ab" * n + end for n, end in ((40, "z"), (30, "c"), (21, "a"), (20, "zb"), (10, "c"), (3, "a"), (1, "b"))]
    answers = dict(lm.answers(instances("generate_until", *[(p, {"max_gen_toks": 12}) for p in prompts])))
    check_not_finite(answers[0], "the token embedding at position 80")
    check_not_finite(answers[3], "the token embedding at position 40")
    for number in (1, 2, 4, 5, 6):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompts[number]), 12)
        assert answers[number].response == lm.tokenizer.decode(expected, skip_special_tokens=True)


def test_padding_whose_embedding_is_not_finite_spoils_no_row() -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[0] = torch.nan  # prompts of one call are filled up with token 0
        model.lm_head.weight[0] = 0  # which is not written here
    lm = NativeLM.from_objects(model, Letters())
    prompts = ["ab" * 9, "ab" * 8 + "c", "ab" * 8]
    answers = dict(lm.answers(instances("generate_until", *[(p, {"max_gen_toks": 6}) for p in prompts])))
    for number, prompt in enumerate(prompts):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompt), 6, end=-1)
        assert 0 not in expected
        assert answers[number].response == lm.tokenizer.decode(expected)


@pytest.mark.parametrize("places", [64 * 100, 64 * 300, 1 << 27])
def test_the_position_is_right_where_a_large_mask_made_chunks_smaller(places: int) -> None:
    lm = NativeLM.from_objects(broken_model(), Letters(), max_length=2048, chunk_tokens=150)
    with mock.patch.dict(limits.LIMITS, cpu=dataclasses.replace(limits.LIMITS["cpu"], mask_places=places)):
        ((_, answer),) = lm.answers(instances("loglikelihood", ("ab" * 120 + "z" + "ab" * 30, "a")))
        ((_, written),) = lm.answers(instances("generate_until", ("ab" * 120 + "z" + "ab" * 30, {"max_gen_toks": 2})))
    check_not_finite(answer, "the token embedding at position 240")
    check_not_finite(written, "the token embedding at position 240")


def test_memory_that_runs_out_while_the_layer_is_looked_for_loses_no_other_row() -> None:
    lm = NativeLM.from_objects(broken_model(), Letters())
    requests = instances("generate_until", *[(p, {"max_gen_toks": 1}) for p in ("abab", "abaz", "abac")])
    with mock.patch("ropepp_eval.adapters.native.nonfinite.locate_non_finite", side_effect=ERRORS[0]):
        answers = dict(lm.answers(requests))
    check_not_finite(answers[1], "memory ran out")
    assert [answers[number].error for number in (0, 2)] == [None, None]


def test_the_layer_that_breaks_is_named() -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(torch.inf)
    lm = NativeLM.from_objects(model, Letters())
    ((_, answer),) = lm.answers(instances("loglikelihood", ("abc", "d")))
    check_not_finite(answer, "layer 1 at position 0")


def test_a_token_outside_the_vocabulary_fails_its_row_only() -> None:
    lm = NativeLM.from_objects(tiny_llama(vocab_size=60), Letters())
    answers = dict(lm.answers(instances("loglikelihood", ("abc", "d"), ("ABC", "D"))))
    assert answers[0].error is not None
    assert answers[0].error.type == "TokenOutsideVocabulary"
    assert answers[1].error is None
