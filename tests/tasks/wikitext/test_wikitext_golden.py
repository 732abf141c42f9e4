"""WikiText against lm-eval 0.4.13's own pages, detokenizer and samples."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.wikitext.corpus import load_wikitext, split_pages
from ropepp_eval.tasks.wikitext.detokenizer import count_words, detokenize
from ropepp_eval.tasks.wikitext.pages import page_rows, page_scores
from ropepp_eval.tasks.wikitext.sliding import wikitext_sliding_rows
from tests.tasks.conftest import MakeRequest, read_jsonl

Ask = Callable[[Row, str], list[Any]]


def test_pages_are_the_document_level_pages(data_dir: Path, lm_eval_golden: Path) -> None:
    pages = load_wikitext(open_data(data_dir), "test").pages
    expected = read_jsonl(lm_eval_golden / "docs" / "wikitext.jsonl")
    assert len(pages) == 62
    assert pages[: len(expected)] == [e["page"] for e in expected]


def test_text_before_the_first_heading_is_kept_unless_blank() -> None:
    assert split_pages([" ", " = A = ", "a", " = = B = = ", " = C = "]) == [" = A = \na\n = = B = = ", " = C = "]
    assert split_pages(["x", " = A = "]) == ["x", " = A = "]


def test_the_detokenizer_equals_lm_evals_on_awkward_lines(lm_eval_golden: Path) -> None:
    for case in read_jsonl(lm_eval_golden / "wikitext_detokenizer.jsonl"):
        assert detokenize(case["page"]) == case["detokenized"], case["note"]
        assert count_words(case["page"]) == case["n_words"], case["note"]
        assert len(case["page"].encode()) == case["n_bytes"], case["note"]


def test_rows_hold_lm_evals_text_and_counts(make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path) -> None:
    expected = read_jsonl(lm_eval_golden / "wikitext.jsonl")
    rows = page_rows(make_request("wikitext", samples=len(expected), data=data_dir))
    for row, sample in zip(rows, expected, strict=True):
        assert hashlib.sha256(row.prompt.encode()).hexdigest() == sample["detokenized_sha256"]
        assert (row.prompt_tokens, row.details["words"]) == (sample["n_tokens"], sample["n_words"])
        assert row.details["bytes"] == sample["n_bytes"]


def test_scores_of_a_page_are_lm_evals(make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path, ask: Ask) -> None:
    sample = read_jsonl(lm_eval_golden / "wikitext.jsonl")[0]
    (row,) = page_rows(make_request("wikitext", samples=1, data=data_dir))
    scores = page_scores(row, ask(row, "loglikelihood_rolling"))
    assert scores["word_perplexity"][0] == pytest.approx(sample["loglikelihood"], abs=1e-4, rel=1e-6)


@pytest.mark.slow
def test_scores_of_all_pages_and_aggregates_are_lm_evals(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path, ask: Ask
) -> None:
    expected = read_jsonl(lm_eval_golden / "wikitext.jsonl")
    rows = page_rows(make_request("wikitext", samples=len(expected), data=data_dir))
    scores = [page_scores(row, ask(row, "loglikelihood_rolling")) for row in rows]
    for score, sample in zip(scores, expected, strict=True):
        assert score["word_perplexity"][0] == pytest.approx(sample["loglikelihood"], abs=1e-4, rel=1e-6)
    ratio = {name: sum(s[name][0] for s in scores) / sum(s[name][1] for s in scores) for name in scores[0]}
    aggregate = json.loads((lm_eval_golden / "aggregate.json").read_text())["results"]["wikitext"]
    assert math.exp(-ratio["word_perplexity"]) == pytest.approx(aggregate["word_perplexity"], rel=1e-6)
    assert math.exp(-ratio["byte_perplexity"]) == pytest.approx(aggregate["byte_perplexity"], rel=1e-6)
    assert -ratio["bits_per_byte"] / math.log(2) == pytest.approx(aggregate["bits_per_byte"], rel=1e-6)


def test_the_papers_stream_is_the_validation_split_as_the_authors_join_it(
    make_request: MakeRequest, data_dir: Path, lm_eval_golden: Path
) -> None:
    golden = json.loads((lm_eval_golden / "sliding_window_ids.json").read_text())["wikitext"]
    (row,) = wikitext_sliding_rows(make_request("wikitext_sliding", protocol="paper", data=data_dir))
    assert hashlib.sha256(row.prompt.encode()).hexdigest() == golden["joined_sha256"]
    assert (row.details["texts"], row.prompt_tokens) == (golden["n_texts"], golden["n_tokens_all"])


def test_the_reference_stream_is_the_test_split(make_request: MakeRequest, data_dir: Path) -> None:
    (row,) = wikitext_sliding_rows(make_request("wikitext_sliding", data=data_dir))
    assert row.prompt_tokens == 287_644  # what the perplexity page of transformers' documentation reports
