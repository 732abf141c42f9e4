"""Rows fill their length, say where their needles are, and depend on nothing but what names them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropepp_eval.data import open_data
from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import resolve_tasks
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.ruler import build
from ropepp_eval.tasks.ruler.build import build_chunk, build_rows, family_of
from ropepp_eval.tasks.ruler.family import Shuffle
from ropepp_eval.tasks.ruler.vt import VtRows
from ropepp_eval.tokens.exactness import Pieces
from ropepp_eval.tokens.fitting import TooShort
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer
from tests.tokens.tokenizers_to_try import KINDS

TASKS = [entry.name for entry in resolve_tasks(["ruler"])]
AT_MOST_A_UNIT_SHORT = ("vt", "cwe", "qa_squad", "qa_hotpotqa")
HASHES = Path(__file__).with_name("row_hashes.json")


@functools.cache
def tokenizer(kind: str) -> Tokenizer:
    return KINDS[kind]()


def request_of(task: str, length: int, kind: str = "like_gpt2", **changes: object) -> RowRequest:
    request = RowRequest(
        task=task,
        length_tokens=length,
        samples=3,
        seed=42,
        protocol="reference",
        tokenizer=tokenizer(kind),
        data=open_data(None),
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def fill_percent(row: Row) -> float:
    return 100 * (row.prompt_tokens + row.max_new_tokens) / row.length_tokens


def test_the_group_has_the_thirteen_tasks() -> None:
    assert len(TASKS) == 13
    assert {entry.benchmark for entry in resolve_tasks(["ruler"])} == {"ruler"}
    assert {entry.primary.name for entry in resolve_tasks(["ruler"])} == {"string_match"}


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_rows_fill_4k_and_are_counted_as_the_tokenizer_does(task: str, protocol: str) -> None:
    rows = frozen_rows(request_of(task, 4096, protocol=protocol), build_rows)
    assert [row.row for row in rows] == [0, 1, 2]
    for row in rows:
        assert row.prompt_tokens == tokenizer("like_gpt2").count(row.prompt)
        assert row.max_new_tokens == (64 if protocol == "paper" else row.max_new_tokens)
        assert fill_percent(row) <= 100
        assert fill_percent(row) >= (90 if task in AT_MOST_A_UNIT_SHORT else 97)
        assert row.references
        assert all(row.references)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "like_gpt2"])
@pytest.mark.parametrize("task", ["niah_single_2", "niah_multikey_2", "niah_multikey_3", "vt", "cwe", "fwe", "qa_hotpotqa"])
def test_rows_fit_whatever_the_tokenizer(task: str, kind: str) -> None:
    for row in frozen_rows(request_of(task, 4000, kind, samples=2), build_rows):
        assert row.prompt_tokens == tokenizer(kind).count(row.prompt)
        assert 85 <= fill_percent(row) <= 100


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize("kind", ["like_gpt2", "like_llama3", "like_llama2"])
def test_long_essays_are_counted_right_whatever_word_ends_them(kind: str, protocol: str) -> None:
    request = request_of("niah_multiquery", 24_000, kind, protocol=protocol, samples=12)
    for row in build_rows(request):
        assert row.details["haystack_units"] > 2500
        assert row.prompt_tokens == tokenizer(kind).count(row.prompt)
        assert 99.9 < fill_percent(row) <= 100


@pytest.mark.parametrize("task", TASKS)
def test_needles_stand_where_the_details_say(task: str) -> None:
    for row in build_rows(request_of(task, 4096)):
        json.dumps(dict(row.details), allow_nan=False)
        for needle in row.details.get("needles", ()):
            assert 0 <= needle["depth_percent"] <= 100
            ids = tokenizer("like_gpt2").fast.backend_tokenizer.encode(row.prompt, add_special_tokens=False)
            begin = ids.offsets[needle["token_position"]][0]
            what = f"Document {needle['document']}:" if "document" in needle else needle["key"]
            assert what in row.prompt[begin : begin + 120]


@pytest.mark.parametrize("task", TASKS)
def test_a_row_depends_on_nothing_but_what_names_it(task: str) -> None:
    request = request_of(task, 3000)
    state = random.getstate()
    alone = [row.sha256 for row in build_rows(request)]
    assert random.getstate() == state
    random.seed(1)
    build_rows(request_of(task, 4096, samples=1))
    build_rows(request_of("cwe", 3000, samples=1, seed=7))
    more = [row.sha256 for row in build_rows(replace(request, samples=5))]
    last = family_of(task)(request).row(2).sha256  # row 2 alone, before any other
    assert alone == more[:3]
    assert last == alone[2]
    assert len(set(more)) == 5
    assert alone != [row.sha256 for row in build_rows(replace(request, seed=43))]


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_the_committed_ones(task: str) -> None:
    """Sameness across machines and releases. After a change on purpose: ROW_HASHES=write python -m pytest <this file>."""
    found = [row.sha256 for row in build_rows(request_of(task, 3000))]
    known = json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.is_file() else {}
    if os.environ.get("ROW_HASHES") == "write":
        HASHES.write_text(json.dumps(known | {task: found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        pytest.skip("wrote the hashes")
    assert found == known[task]


@pytest.mark.parametrize("task", TASKS)
def test_a_length_that_is_too_small_is_told_the_smallest_that_is_enough(task: str) -> None:
    with pytest.raises(UserError, match=rf"task {task} does not fit 100 tokens: .* ask for a length of \d+ or more") as told:
        build_rows(request_of(task, 100))
    assert "\n" not in str(told.value)
    enough = int(str(told.value).split()[-3])
    rows = build_rows(request_of(task, enough))  # other choices are drawn at another length
    assert all(fill_percent(row) <= 100 for row in rows)


def test_the_first_row_over_a_length_is_named_and_so_are_the_ways_out() -> None:
    wanted = re.compile(
        r"task niah_single_1 does not fit \d+ tokens: row (\d+) and its budget of 128 new tokens need \d+, and all 40 rows "
        r"asked for fit (\d+); ask for a length of \2 or more, or for --samples \1 or fewer"
    )
    for length in range(200, 400):  # at the shortest row 0 is over it, and no number of samples helps
        request = request_of("niah_single_1", length, samples=40)
        with contextlib.suppress(LengthTooShort):
            build_rows(replace(request, samples=1))
            break
    with pytest.raises(LengthTooShort, match=wanted) as told:
        build_rows(request)
    found = wanted.fullmatch(str(told.value))
    assert found is not None
    assert len(build_rows(replace(request, samples=int(found[1])))) == int(found[1])
    assert len(build_rows(replace(request, length_tokens=int(found[2])))) == 40


def test_essays_too_short_for_the_length_are_an_error_that_says_how_much_is_missing(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "essays").mkdir()
    (tmp_path / "essays" / "one.txt").write_text("A short essay. " * 20, encoding="utf-8")
    (tmp_path / "nltk_data").symlink_to(data_dir / "nltk_data")
    request = request_of("niah_single_2", 2048, data=open_data(tmp_path))
    with pytest.raises(UserError, match=r"the 60 words of .*essays end \d+ tokens too early"):
        build_rows(request)
    again = build_rows(replace(request, data=open_data(tmp_path, repeat_text=True)))
    assert all(fill_percent(row) > 97 and not row.stand_in for row in again)


def test_a_question_corpus_too_small_for_the_length_is_an_error_unless_it_may_repeat(data_dir: Path) -> None:
    request = request_of(
        "qa_squad", 131_072, samples=1, data=open_data(data_dir), tokenizer=load_tokenizer(str(data_dir / "gpt2-tokenizer"))
    )
    with pytest.raises(UserError, match=r"all 646 documents of the corpus leave \d+ tokens empty"):
        build_rows(request)
    (row,) = build_rows(replace(request, data=open_data(data_dir, repeat_text=True)))
    assert 99 < fill_percent(row) <= 100


def test_rows_from_generated_text_are_marked() -> None:
    marked = {task: build_rows(request_of(task, 3000, samples=1))[0].stand_in for task in TASKS}
    real_anyway = {"niah_single_1", "niah_multikey_2", "niah_multikey_3", "vt", "cwe", "fwe"}
    assert {task for task, stand_in in marked.items() if not stand_in} == real_anyway


def test_hotpotqa_at_2k_keeps_the_needed_documents_of_every_question(data_dir: Path, gpt2_tokenizer_dir: Path) -> None:
    request = request_of(
        "qa_hotpotqa", 2048, samples=500, data=open_data(data_dir), tokenizer=load_tokenizer(str(gpt2_tokenizer_dir))
    )
    rows = build_rows(request)
    assert len(rows) == 100
    assert all(len(row.details["needles"]) == 2 for row in rows)
    assert any(row.details["dropped_gold"] for row in rows)


@pytest.mark.parametrize("count", [1, 2, 7, 400, 1000])
def test_a_shuffle_is_the_same_however_many_keys_are_drawn(count: int) -> None:
    words = [f"w{i}" for i in range(count)]
    found = Shuffle(5, 1000).of(words)
    assert sorted(found) == sorted(words)
    assert Shuffle(5, count).of(words) == found
    assert count < 400 or found != Shuffle(6, count).of(words) != words


def fits(request: RowRequest, length: int) -> Row | None:
    """Row 0 as it is drawn for the request's length, with the budget of another length."""
    family = family_of(request.task)(request)
    family.prompt_budget = length - family.max_new_tokens
    try:
        return family.row(0)
    except TooShort:
        return None


@settings(max_examples=15, deadline=None)
@given(st.integers(100, 6000), st.data())
@pytest.mark.parametrize("task", TASKS)
def test_what_n_tokens_hold_n_plus_1_tokens_hold(task: str, length: int, data: st.DataObject) -> None:
    request = request_of(task, 6001, data.draw(st.sampled_from(["like_gpt2", "like_llama3"])))
    now, next_ = fits(request, length), fits(request, length + 1)
    assert now is None or next_ is not None
    for row, budget in ((now, length), (next_, length + 1)):
        assert row is None or row.prompt_tokens + row.max_new_tokens <= budget


def odd_lengths(smallest: int) -> list[int]:
    """From the smallest on in odd steps: close together where needles crowd, each a fifth longer later on."""
    lengths = [smallest]
    while lengths[-1] < 65_536:
        lengths.append(lengths[-1] + (187 if lengths[-1] < 4200 else lengths[-1] // 5) | 1)
    return [*lengths[:-1], 65_536]


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_every_length_from_the_smallest_to_64k_is_filled(
    data_dir: Path, gpt2_tokenizer_dir: Path, task: str, protocol: str
) -> None:
    corpus = task.startswith("niah")  # the question files at hand are too short for 64k
    request = request_of(task, 100, protocol=protocol, samples=1, data=open_data(data_dir if corpus else None))
    request = replace(request, tokenizer=load_tokenizer(str(gpt2_tokenizer_dir)))
    with pytest.raises(UserError, match="does not fit") as told:
        build_rows(request)
    for length in odd_lengths(int(str(told.value).split()[-3]) + 40):  # other choices are drawn at another length
        (row,) = build_chunk(replace(request, length_tokens=length), range(1)).rows
        assert row.prompt_tokens == request.tokenizer.count(row.prompt)
        assert fill_percent(row) <= 100
        assert length < 2000 or fill_percent(row) > (85 if task in AT_MOST_A_UNIT_SHORT else 97)


def test_a_wrong_count_is_never_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of("vt", 3000, samples=1)
    right = VtRows.row

    def miscounted(family: VtRows, number: int) -> Row:
        row = right(family, number)
        return replace(row, prompt_tokens=row.prompt_tokens - 1)

    monkeypatch.setattr(VtRows, "row", miscounted)
    with pytest.raises(ValueError, match="this is a bug in the task"):
        build.build_chunk(request, range(250, 251))
    assert not build.build_chunk(request, range(2)).counted_right  # row 0 has the cell counted anew, prompt by prompt


def test_pieces_that_do_not_add_up_in_row_0_switch_to_real_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of("niah_single_2", 1500, "across_words", samples=2)
    monkeypatch.setattr("ropepp_eval.tokens.counting.pieces_of_tokenizer", lambda _: Pieces(exact=True))
    fresh = replace(request, tokenizer=KINDS["across_words"]())
    for row in build_rows(fresh):
        assert row.prompt_tokens == fresh.tokenizer.count(row.prompt)
        assert 97 <= fill_percent(row) <= 100


def test_an_unknown_task_is_told_the_near_ones() -> None:
    with pytest.raises(UserError, match="did you mean niah_single_1"):
        build_rows(request_of("niah_singel_1", 3000))
