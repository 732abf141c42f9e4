"""WikiText's windows by position: full, apart from each other, and scored in the right buckets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.wikitext.corpus import Wikitext, load_wikitext
from ropepp_eval.tasks.wikitext.pages import page_rows
from ropepp_eval.tasks.wikitext.positions import bucket_of, position_rows, position_scores
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest

Ask = Callable[[Row, str], list[Any]]


@dataclass(frozen=True)
class Window:
    begin: int
    end: int
    logprobs: tuple[float, ...]


@pytest.mark.parametrize("length_tokens", [512, 2048, 65536])
def test_windows_hold_97_to_100_percent(length_tokens: int, make_request: MakeRequest, gpt2_tokenizer: Tokenizer) -> None:
    rows = position_rows(make_request("wikitext_positions", length_tokens))
    assert rows
    for row in rows:
        assert 0.97 * length_tokens <= gpt2_tokenizer.count(row.prompt) <= length_tokens
        assert row.prompt_tokens == gpt2_tokenizer.count(row.prompt)
        assert (row.window_tokens, row.stride_tokens) == (length_tokens, length_tokens)


def test_windows_follow_each_other_without_overlap(make_request: MakeRequest, data_dir: Path) -> None:
    rows = position_rows(make_request("wikitext_positions", 1024, samples=20, data=data_dir))
    text = load_wikitext(open_data(data_dir), "test").text
    starts = [text.index(row.prompt) for row in rows]
    assert all(later >= begin + len(row.prompt) for (begin, later), row in zip(pairwise(starts), rows, strict=False))
    assert all(text[start - 1] == "\n" for start in starts[1:])


def test_the_number_of_windows_does_not_change_the_first_ones(make_request: MakeRequest) -> None:
    few, many = (position_rows(make_request("wikitext_positions", 1024, samples=n)) for n in (2, 5))
    assert [row.sha256 for row in many[:2]] == [row.sha256 for row in few]


def test_a_corpus_below_one_window_is_refused_with_what_is_missing(make_request: MakeRequest) -> None:
    with pytest.raises(UserError, match=r"holds \d+ tokens, about \d+ too few for one window of 512k"):
        position_rows(make_request("wikitext_positions", 524288))


@pytest.mark.parametrize(("position", "bucket"), [(1, 1), (2, 2), (3, 2), (4, 4), (63, 32), (64, 64), (65535, 32768)])
def test_a_bucket_begins_at_a_power_of_two(position: int, bucket: int) -> None:
    assert bucket_of(position) == bucket


def test_tokens_are_counted_by_how_many_stand_before_them() -> None:
    row = Row(task="wikitext_positions", length_tokens=8, row=0, prompt="", prompt_tokens=6)
    scores = position_scores(row, [[Window(0, 6, (-1.0, -2.0, -3.0, -4.0, -5.0))]])
    assert scores == {
        "token_perplexity": (-15.0, 5),
        "perplexity_at_1": (-1.0, 1),
        "perplexity_at_2": (-5.0, 2),
        "perplexity_at_4": (-9.0, 2),
    }


def test_every_bucket_up_to_128k_is_a_metric_of_the_task() -> None:
    names = [metric.name for metric in task_entries()["wikitext_positions"].metrics]
    assert names == ["token_perplexity", *(f"perplexity_at_{bucket_of(2**power)}" for power in range(17))]


def test_through_the_adapter_all_tokens_but_the_first_are_scored(make_request: MakeRequest, ask: Ask) -> None:
    (row,) = position_rows(make_request("wikitext_positions", 512, samples=1))
    scores = position_scores(row, ask(row, "loglikelihood_rolling"))
    assert scores["token_perplexity"][1] == row.prompt_tokens - 1
    buckets = [scores[name] for name in scores if name.startswith("perplexity_at_")]
    assert math.fsum(total for total, _ in buckets) == pytest.approx(scores["token_perplexity"][0])
    assert [count for _, count in buckets][:8] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_stand_in_pages_are_pages(make_request: MakeRequest) -> None:
    rows = page_rows(make_request("wikitext", samples=3))
    assert [row.details["page"] for row in rows] == [0, 1, 2]
    assert all(row.stand_in and row.prompt.startswith(" = ") for row in rows)


def test_lines_break_at_newlines_only() -> None:
    odd = Wikitext("a\u2028b\n \nc", stand_in=False)
    assert odd.lines == ["a\u2028b\n", " \n", "c"]
    assert odd.hub_rows == ["a\u2028b\n", "", "c"]
