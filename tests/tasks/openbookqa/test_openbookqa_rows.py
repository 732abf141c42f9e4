"""OpenBookQA's windows: filled, with the fact where it is said to be, or without it and otherwise equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.rows.continuations import continuation_scores
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.openbookqa.book import book_rows, nofact_rows
from ropepp_eval.tasks.openbookqa.corpus import load_library, load_questions, question_of
from ropepp_eval.tasks.openbookqa.questions import question_rows
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest


@pytest.mark.parametrize("length_tokens", [1024, 2048, 8192, 65536])
def test_windows_hold_97_to_100_percent_with_the_longest_choice(
    length_tokens: int, make_request: MakeRequest, gpt2_tokenizer: Tokenizer
) -> None:
    request = make_request("openbookqa_book", length_tokens, samples=2)
    for row in [*book_rows(request), *nofact_rows(request)]:
        tokens = max(gpt2_tokenizer.count(row.prompt + choice) for choice in row.choices)
        assert 0.97 * length_tokens <= tokens <= length_tokens
        assert row.prompt_tokens == gpt2_tokenizer.count(row.prompt)


def test_windows_of_real_facts_hold_97_to_100_percent(
    make_request: MakeRequest, data_dir: Path, gpt2_tokenizer: Tokenizer
) -> None:
    for length_tokens, samples in ((2048, 20), (65536, 1)):
        request = make_request("openbookqa_book", length_tokens, samples=samples, data=data_dir)
        for row in [*book_rows(request), *nofact_rows(request)]:
            tokens = max(gpt2_tokenizer.count(row.prompt + choice) for choice in row.choices)
            assert 0.97 * length_tokens <= tokens <= length_tokens


def test_the_fact_stands_at_its_depth_and_position(make_request: MakeRequest, gpt2_tokenizer: Tokenizer) -> None:
    request = make_request("openbookqa_book", samples=12)
    questions, _ = load_questions(request.data, facts=True)
    rows = book_rows(request)
    assert [row.details["depths"] for row in rows] == [[float(10 * (n % 11))] for n in range(12)]
    for row, question in zip(rows, questions, strict=False):
        lines = row.prompt.split("\n")[:-2]
        assert lines.count(question.fact) == 1
        assert 100 * lines.index(question.fact) / (len(lines) - 1) == pytest.approx(row.details["depths"][0], abs=1)
        before = row.prompt[: row.prompt.index(question.fact + "\n")]
        assert gpt2_tokenizer.count(before) == row.details["token_positions"][0]


def test_without_the_fact_nothing_else_differs(make_request: MakeRequest) -> None:
    request = make_request("openbookqa_book", samples=11)
    questions, _ = load_questions(request.data, facts=True)
    for book, nofact, question in zip(book_rows(request), nofact_rows(request), questions, strict=False):
        assert book.prompt.replace(question.fact + "\n", "", 1) == nofact.prompt
        assert question.fact not in nofact.prompt
        assert (book.choices, book.gold, book.cluster) == (nofact.choices, nofact.gold, nofact.cluster)
        assert nofact.details["depths"] == []


def test_the_book_comes_before_crowd_facts_and_those_before_train_questions(
    make_request: MakeRequest, data_dir: Path
) -> None:
    request = make_request("openbookqa_nofact", 65536, samples=1, data=data_dir)
    library = load_library(request.data)
    book, crowd = set(library.book), set(library.crowd)
    (row,) = nofact_rows(request)
    lines = row.prompt.split("\n")[:-2]
    kinds = ["book" if line in book else "crowd" if line in crowd else "train" for line in lines]
    assert kinds == sorted(kinds)
    assert kinds.count("book") == 1325
    assert kinds.count("train") > 0


def test_no_train_question_on_the_same_fact_stands_in_the_window(make_request: MakeRequest, data_dir: Path) -> None:
    request = make_request("openbookqa_nofact", 65536, samples=2, data=data_dir)
    library = load_library(request.data)
    questions, _ = load_questions(request.data, facts=True)
    for row, question in zip(nofact_rows(request), questions, strict=False):
        telling = {train.statement for train in library.train if train.fact == question.fact}
        assert telling.isdisjoint(row.prompt.split("\n"))


def test_the_real_library_is_whole_and_without_repeats(make_request: MakeRequest, data_dir: Path) -> None:
    library = load_library(make_request("openbookqa_book", data=data_dir).data)
    assert (len(library.book), len(library.crowd), len(library.train)) == (1326, 5161, 4957)
    assert not any(fact.startswith('"') for fact in library.book)


def test_a_row_depends_on_its_own_number_alone(make_request: MakeRequest) -> None:
    few = book_rows(make_request("openbookqa_book", samples=2))
    book_rows(make_request("openbookqa_book", 4096, samples=1))
    many = book_rows(make_request("openbookqa_book", samples=4))
    assert [row.sha256 for row in many[:2]] == [row.sha256 for row in few]


def test_more_text_than_there_is_is_refused_with_what_is_missing(make_request: MakeRequest) -> None:
    with pytest.raises(UserError, match=r"about \d+ tokens of text are missing; use a larger corpus or a shorter length"):
        book_rows(make_request("openbookqa_book", 262144, samples=1))


@pytest.mark.parametrize("build", [question_rows, book_rows, nofact_rows])
def test_a_length_below_the_question_is_refused_with_the_smallest_that_fits(
    build: object, make_request: MakeRequest
) -> None:
    with pytest.raises(UserError, match=r"(does not fit|over the length of) 8.* (use|ask for a length of) \d+ or more"):
        build(make_request("openbookqa", 8))  # type: ignore[operator]


def test_an_answer_key_without_its_choice_is_named() -> None:
    record = {"id": "7-1", "question": {"stem": "?", "choices": [{"text": "a", "label": "A"}]}, "answerKey": "C"}
    with pytest.raises(UserError, match=r"question '7-1' has answer key 'C', none of A"):
        question_of(record, "test.jsonl")


def test_acc_takes_the_first_of_equals_and_acc_norm_counts_characters_without_the_blank() -> None:
    row = Row(task="openbookqa", length_tokens=64, row=0, prompt="", prompt_tokens=0, choices=(" ab", " abcd"), gold=1)
    assert continuation_scores(row, [(-3.0, False), (-3.0, False)]) == {"acc": 0.0, "acc_norm": 1.0}
    assert continuation_scores(row, [(-2.0, False), (-4.0, False)]) == {"acc": 0.0, "acc_norm": 0.0}
