"""Sliding-window perplexity: the golden values of both arithmetics, through our adapter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.rows.row import Row
from ropepp_eval.rows.sliding_windows import (
    each_token_once,
    mean_times_stride,
    sliding_rows,
    sliding_scores,
    window_perplexity,
)
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest

Ask = Callable[[Row, str], list[Any]]
SLOW = pytest.mark.slow


@dataclass(frozen=True)
class Window:
    begin: int
    end: int
    logprobs: tuple[float, ...]


@pytest.mark.parametrize("case", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW), 3])
def test_both_arithmetics_give_the_golden_perplexities(
    case: int, make_request: MakeRequest, lm_eval_golden: Path, gpt2_tokenizer: Tokenizer, ask: Ask
) -> None:
    expected = json.loads((lm_eval_golden / "sliding_window.json").read_text())[case]
    ids = json.loads((lm_eval_golden / "sliding_window_ids.json").read_text())[expected["text"]]["ids"]
    request = make_request("lambada_sliding", expected["window"])
    (row,) = sliding_rows(
        request,
        [gpt2_tokenizer.decode(ids)],
        stride_tokens=expected["stride"],
        arithmetic="mean_times_stride",
        stand_in=False,
    )
    assert row.prompt_tokens == expected["n_tokens"]
    responses = ask(row, "loglikelihood_rolling")
    for window, golden in zip(responses[0], expected["windows"], strict=True):
        assert (window.begin, window.end, len(window.logprobs)) == (golden["begin"], golden["end"], golden["n_scored"])
        assert -sum(window.logprobs) / len(window.logprobs) == pytest.approx(golden["mean_loss"], abs=1e-4)
    total, divisor = sliding_scores(row, responses)["token_perplexity"]
    assert divisor == expected["divisor_last_window_start"]
    assert total == pytest.approx(expected["sum_of_mean_loss_times_stride"], rel=1e-6)
    assert window_perplexity([(total, divisor)]) == pytest.approx(expected["ppl"], rel=1e-5)
    once = sliding_scores(replace(row, details={"arithmetic": "each_token_once"}), responses)["token_perplexity"]
    assert once[1] == expected["n_tokens_each_once"]
    assert math.exp(once[0] / once[1]) == pytest.approx(expected["ppl_each_token_once"], rel=1e-5)


def test_each_token_counts_once_in_the_first_window_that_scores_it() -> None:
    windows = [Window(0, 4, (-1.0, -2.0, -3.0)), Window(2, 8, (-4.0,) * 4), Window(5, 9, (-9.0, -9.0, -9.0, -5.0))]
    assert each_token_once(windows, 4) == (1 + 2 + 3 + 4 * 4 + 5, 8)


def test_the_papers_arithmetic_counts_the_stride_and_divides_by_the_last_start() -> None:
    windows = [Window(0, 4, (-1.0, -2.0, -3.0)), Window(2, 8, (-4.0,) * 4), Window(5, 9, (-9.0, -9.0, -9.0, -5.0))]
    assert mean_times_stride(windows, 4) == (2 * 4 + 4 * 4 + 8 * 4, 8)


def test_the_papers_arithmetic_refuses_a_single_window() -> None:
    with pytest.raises(ValueError, match="more than 512 tokens"):
        mean_times_stride([Window(0, 100, (-1.0,) * 99)], 512)


def test_a_window_shorter_than_the_stride_is_refused(make_request: MakeRequest) -> None:
    with pytest.raises(UserError, match=r"use .* or more"):
        sliding_rows(make_request("x", 256), ["a text"], stride_tokens=512, arithmetic="each_token_once", stand_in=False)


def test_a_corpus_of_one_stride_is_refused_with_what_is_missing(make_request: MakeRequest) -> None:
    with pytest.raises(UserError, match=r"holds 2 tokens.* 511 are missing"):
        sliding_rows(make_request("x", 1024), ["a text"], stride_tokens=512, arithmetic="each_token_once", stand_in=False)
