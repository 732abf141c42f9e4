"""LAMBADA's rows: what they hold, how full they are, and that nothing but their own request decides them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.rows.sliding_windows import SEPARATOR
from ropepp_eval.tasks.lambada.filled import filled_rows
from ropepp_eval.tasks.lambada.last_word import last_word_rows
from ropepp_eval.tasks.lambada.passages import Passage, load_passages
from ropepp_eval.tasks.lambada.sliding import lambada_sliding_rows
from ropepp_eval.tasks.lambada.stand_in import stand_in_passages
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest


@pytest.mark.parametrize("length_tokens", [600, 2048, 4096, 16384, 65536])
def test_filled_windows_hold_97_to_100_percent(
    length_tokens: int, make_request: MakeRequest, gpt2_tokenizer: Tokenizer
) -> None:
    for row in filled_rows(make_request("lambada_filled", length_tokens, samples=2)):
        tokens = gpt2_tokenizer.count(row.prompt + row.choices[0])
        assert 0.97 * length_tokens <= tokens <= length_tokens
        assert row.prompt_tokens == gpt2_tokenizer.count(row.prompt)
        assert row.stand_in


def test_filled_windows_of_real_text_hold_97_to_100_percent(
    make_request: MakeRequest, data_dir: Path, gpt2_tokenizer: Tokenizer
) -> None:
    for row in filled_rows(make_request("lambada_filled", 4096, samples=20, data=data_dir)):
        assert 0.97 * 4096 <= gpt2_tokenizer.count(row.prompt + row.choices[0]) <= 4096
        assert not row.stand_in


def test_the_target_stands_last_and_once(make_request: MakeRequest) -> None:
    request = make_request("lambada_filled", samples=3)
    for row, passage in zip(filled_rows(request), load_passages(request.data).passages, strict=False):
        assert row.prompt.endswith(SEPARATOR + passage.context)
        assert row.choices == (passage.last_word,)
        assert passage.text not in row.prompt


def test_every_filler_but_the_farthest_is_a_whole_passage(make_request: MakeRequest) -> None:
    known = set(stand_in_passages())
    (row,) = filled_rows(make_request("lambada_filled", samples=1))
    first, *whole, _ = row.prompt.split(SEPARATOR)
    assert set(whole) <= known
    assert any(passage.endswith(first) for passage in known)
    assert row.details["filler_passages"] == len(whole) + 1


def test_a_longer_window_only_adds_text_before(make_request: MakeRequest) -> None:
    short, longer = (filled_rows(make_request("lambada_filled", length, samples=1))[0] for length in (2048, 4096))
    _, near = short.prompt.split(SEPARATOR, 1)  # without the passage that was cut at its front
    assert longer.prompt.endswith(near)


def test_a_row_depends_on_its_own_number_alone(make_request: MakeRequest) -> None:
    few = filled_rows(make_request("lambada_filled", samples=2))
    filled_rows(make_request("lambada_filled", 4096, samples=1))
    many = filled_rows(make_request("lambada_filled", samples=4))
    assert [row.sha256 for row in many[:2]] == [row.sha256 for row in few]
    assert len({row.prompt for row in many}) == 4


def test_another_seed_gives_other_fillers_for_the_same_questions(make_request: MakeRequest) -> None:
    one, two = (filled_rows(make_request("lambada_filled", samples=1, seed=seed))[0] for seed in (1, 2))
    assert one.prompt != two.prompt
    assert one.choices == two.choices


def test_a_passage_that_occurs_twice_never_stands_in_its_own_context(tmp_path: Path, make_request: MakeRequest) -> None:
    texts = [*stand_in_passages()[:40], *stand_in_passages()[:2]]
    write_passages(tmp_path, texts)
    for row, text in zip(filled_rows(make_request("lambada_filled", 1024, samples=2, data=tmp_path)), texts, strict=False):
        assert text not in row.prompt


def test_a_small_corpus_is_refused_with_what_is_missing(tmp_path: Path, make_request: MakeRequest) -> None:
    write_passages(tmp_path, stand_in_passages()[:5])
    with pytest.raises(UserError, match=r"\(4 pieces\) fills \d+ of 4096 tokens; about \d+ tokens of text are missing"):
        filled_rows(make_request("lambada_filled", 4096, data=tmp_path))


@pytest.mark.parametrize("build", [last_word_rows, filled_rows])
def test_a_length_below_a_passage_is_refused_with_the_smallest_that_fits(build: object, make_request: MakeRequest) -> None:
    with pytest.raises(UserError, match=r"(does not fit|over the length of) 32.* (use|ask for a length of) \d+ or more"):
        build(make_request("lambada", 32))  # type: ignore[operator]


def test_a_broken_line_is_named_with_its_file_and_number(tmp_path: Path, make_request: MakeRequest) -> None:
    folder = tmp_path / "lambada"
    folder.mkdir()
    (folder / "lambada_test.jsonl").write_text('{"text": "one two"}\n{"txt": "three four"}\n')
    with pytest.raises(UserError, match=r"lambada_test.jsonl:2: text is missing"):
        last_word_rows(make_request("lambada", data=tmp_path))
    (folder / "lambada_test.jsonl").write_text('{"text": "one two"}\n{"text": \n')
    with pytest.raises(UserError, match=r"lambada_test.jsonl:2 is not JSON"):
        last_word_rows(make_request("lambada", data=tmp_path))


def test_the_protocol_decides_the_arithmetic(make_request: MakeRequest) -> None:
    found = {p: lambada_sliding_rows(make_request("lambada_sliding", protocol=p))[0] for p in ("reference", "paper")}
    assert {p: (row.stride_tokens, row.details["arithmetic"]) for p, row in found.items()} == {
        "reference": (512, "each_token_once"),
        "paper": (512, "mean_times_stride"),
    }
    assert found["reference"].prompt == found["paper"].prompt


def test_stand_ins_end_with_a_word_of_their_context() -> None:
    for text in stand_in_passages():
        passage = Passage(text)
        assert passage.last_word.strip() in passage.context


def write_passages(root: Path, texts: object) -> None:
    (root / "lambada").mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)  # type: ignore[attr-defined]
    (root / "lambada" / "lambada_test.jsonl").write_text(lines)
