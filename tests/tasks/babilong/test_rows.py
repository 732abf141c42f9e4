"""Rows fill their length, depend on nothing but their cell and number, and know where their facts are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import DataFolder, open_data
from ropepp_eval.errors import UserError
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.babilong.builders import babilong_rows, build_chunk, files_read
from ropepp_eval.tasks.babilong.cell import open_cell
from ropepp_eval.tasks.babilong.questions import load_questions
from ropepp_eval.tokens.counting import piece_counter
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

STAND_IN = DataFolder(None)


@pytest.fixture
def tiny(tiny_tokenizer_dir: Path) -> Tokenizer:
    return load_tokenizer(str(tiny_tokenizer_dir))


@pytest.fixture
def gpt2(gpt2_tokenizer_dir: Path) -> Tokenizer:
    return load_tokenizer(str(gpt2_tokenizer_dir))


def build(tokenizer: Tokenizer, task: str, length: int, data: DataFolder = STAND_IN, **changes: Any) -> list[Row]:
    return frozen_rows(request_for(tokenizer, task, length, data, **changes), babilong_rows)


def request_for(tokenizer: Tokenizer, task: str, length: int, data: DataFolder, **changes: Any) -> RowRequest:
    settings = {"samples": 3, "seed": 42, "protocol": "reference", **changes}
    return RowRequest(task=f"babilong_{task}", length_tokens=length, tokenizer=tokenizer, data=data, **settings)


@pytest.mark.parametrize("number", [*range(1, 11), 15, 16, 19, 20])
@pytest.mark.parametrize("length", [1024, 4096])
def test_prompt_and_budget_fill_the_length(gpt2: Tokenizer, data_dir: Path, number: int, length: int) -> None:
    for row in build(gpt2, f"qa{number}", length, open_data(data_dir)):
        assert row.prompt_tokens == gpt2.count(row.prompt)
        assert 0.97 * length <= row.prompt_tokens + row.max_new_tokens <= length


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize("length", [700, 2048, 16384])
def test_generated_text_fills_the_length_too(gpt2: Tokenizer, protocol: str, length: int) -> None:
    for row in build(gpt2, "qa1", length, protocol=protocol):
        assert row.stand_in
        assert row.prompt_tokens == gpt2.count(row.prompt)
        assert 0.97 * length <= row.prompt_tokens + row.max_new_tokens <= length


def test_rows_without_background_equal_the_reference(reference_tasks: Path, gpt2: Tokenizer, data_dir: Path) -> None:
    lines = (reference_tasks / "babilong/rows_0k.jsonl").read_text("utf-8").split("\n")
    for golden_row in (json.loads(line) for line in lines if line):
        row = build(gpt2, golden_row["task"], 0, open_data(data_dir), samples=501)[golden_row["question_number"]]
        assert row.prompt == golden_row["prompt"]
        assert row.prompt_tokens == golden_row["prompt_tokens"]
        assert row.references == (golden_row["target"],)
        assert [needle["fact"] for needle in row.details["needles"]] == golden_row["references"]


def test_the_paper_protocol_sends_what_opencompass_sends(reference_tasks: Path, gpt2: Tokenizer, data_dir: Path) -> None:
    lines = (reference_tasks / "opencompass/rows.jsonl").read_text("utf-8").split("\n")
    golden_rows = [json.loads(line) for line in lines if line and json.loads(line)["task"] == "babilong_qa1"]
    assert [row["length"] for row in golden_rows] == ["0k", "0k", "4k", "4k"]
    rows = build(gpt2, "qa1", 0, open_data(data_dir), samples=501, protocol="paper")
    for row, golden_row in zip((rows[0], rows[500]), golden_rows, strict=False):
        assert hashlib.sha256(row.prompt.encode()).hexdigest() == golden_row["model_input_sha256"]
        assert row.prompt.endswith(golden_row["model_input_tail"])
        assert row.max_new_tokens == 64
        assert row.details["scoring"] == "substring"


def test_the_list_form_with_background_equals_opencompass(reference_tasks: Path) -> None:
    from ropepp_eval.rows.protocols import protocol_settings
    from ropepp_eval.tasks.babilong.settings import BabilongSettings

    lines = (reference_tasks / "opencompass/rows.jsonl").read_text("utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line and json.loads(line)["task"] == "babilong_qa1"]
    for row in rows:
        text = protocol_settings("babilong", "paper", BabilongSettings).model_input(row["prompt"][0])
        assert hashlib.sha256(text.encode()).hexdigest() == row["model_input_sha256"]


def test_rows_do_not_depend_on_what_else_was_built(tiny: Tokenizer) -> None:
    alone = [row.sha256 for row in build(tiny, "qa2", 2048)]
    build(tiny, "qa2", 8192, samples=5)
    build(tiny, "qa1", 2048, protocol="paper")
    assert [row.sha256 for row in build(tiny, "qa2", 2048, samples=7)][:3] == alone


def test_rows_differ_by_seed(tiny: Tokenizer) -> None:
    assert build(tiny, "qa1", 2048, samples=1)[0].prompt != build(tiny, "qa1", 2048, samples=1, seed=43)[0].prompt


def test_rows_are_the_same_on_every_machine(tiny: Tokenizer) -> None:
    """These hashes are of rows with the tests' tiny tokenizer; a change in them is a change of the benchmark."""
    prompts = [hashlib.sha256(build(tiny, task, 4096, samples=1)[0].prompt.encode()).hexdigest()[:16] for task in PINNED]
    assert dict(zip(PINNED, prompts, strict=True)) == PINNED


PINNED = {"qa1": "7e7c547358bbfb5a", "qa2": "dabdb6ad1878439e", "qa3": "26c6e46474d423ef"}


@pytest.mark.parametrize("protocol", ["reference", "paper"])
def test_needles_stand_where_the_details_say(gpt2: Tokenizer, data_dir: Path, protocol: str) -> None:
    for row in build(gpt2, "qa3", 4096, open_data(data_dir), samples=5, protocol=protocol):
        ids = gpt2.encode(row.prompt)
        assert len(row.details["needles"]) == 3
        for needle in row.details["needles"]:
            rest = gpt2.decode(ids[needle["token_position"] :])
            assert rest.removeprefix(" ").startswith(needle["fact"])
            assert 0 <= needle["depth_percent"] <= 100


def test_a_fact_keeps_its_depth_as_the_context_grows(gpt2: Tokenizer) -> None:
    short, long = (build(gpt2, "qa1", length, samples=20) for length in (8192, 32768))
    for one, other in zip(short, long, strict=True):
        assert one.references == other.references
        assert one.details["depths"] == pytest.approx(other.details["depths"], abs=3.0)


def test_facts_reach_every_depth(tiny: Tokenizer) -> None:
    depths = [row.details["depths"][0] for row in build(tiny, "qa1", 4096, samples=100)]
    assert min(depths) < 10
    assert max(depths) > 90
    assert 40 < sum(depths) / len(depths) < 75  # the last fact about a person stands late in its story


@pytest.mark.parametrize("length", [0, 2048, 4096])
def test_rows_come_from_as_many_stories_and_ask_the_same_at_every_length(tiny: Tokenizer, length: int) -> None:
    rows = build(tiny, "qa1", length, samples=15)
    assert [row.cluster for row in rows] == [f"simulated/{story}" for story in range(15)]
    asked = [row.details["question_number"] for row in rows]
    assert asked == [5 * story + story % 5 for story in range(15)], "early and late questions alike"


def test_a_story_is_asked_again_only_when_all_were_and_every_question_once(tiny: Tokenizer) -> None:
    rows = build(tiny, "qa1", 0, samples=5000)
    assert len({row.cluster for row in rows[:200]}) == 200
    assert sorted(row.details["question_number"] for row in rows) == list(range(len(rows)))


def test_a_length_below_the_smallest_question_says_what_would_do(tiny: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"no question fits 300; the smallest length that holds one is \d+ tokens"):
        build(tiny, "qa1", 300)


def test_the_named_smallest_length_does_hold_a_question(tiny: Tokenizer) -> None:
    with pytest.raises(UserError) as error:
        build(tiny, "qa1", 300)
    least = int(str(error.value).split(" is ")[1].split(" tokens")[0])
    assert build(tiny, "qa1", least, samples=1)
    with pytest.raises(UserError, match="no question fits"):
        build(tiny, "qa1", least - 1, samples=1)


def test_a_task_without_files_that_can_not_be_simulated_is_refused(tiny: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"babilong_qa7 can't be generated \(only qa1, qa2, qa3 can\)"):
        build(tiny, "qa7", 4096)


def _small_folder(folder: Path) -> Path:
    """A data folder with one bAbI story and one short book."""
    (folder / "babi/en-10k").mkdir(parents=True)
    (folder / "gutenberg").mkdir()
    story = "1 John went to the hallway.\n2 Mary went to the garden.\n3 Where is John? \thallway\t1\n"
    (folder / "babi/en-10k/qa1_single-supporting-fact_test.txt").write_text(story)
    sentences = [f"The carpenter of house number {n} mended the old wooden table beside the river." for n in range(60)]
    (folder / "gutenberg/book_1.txt").write_text(" ".join(["Head.", *sentences, "Tail."]))
    return folder


def test_books_too_short_for_the_length_say_how_much_is_missing(gpt2: Tokenizer, tmp_path: Path) -> None:
    data = open_data(_small_folder(tmp_path))
    with pytest.raises(UserError, match=r"books hold \d+ tokens of background where \d+ are needed, \d+ are missing"):
        build(gpt2, "qa1", 4096, data)


def test_text_is_repeated_only_if_asked(gpt2: Tokenizer, tmp_path: Path) -> None:
    row = build(gpt2, "qa1", 4096, open_data(_small_folder(tmp_path), repeat_text=True))[0]
    assert row.prompt_tokens + row.max_new_tokens >= 0.97 * 4096
    once = build(gpt2, "qa1", 1024, open_data(tmp_path))[0].prompt
    assert all(once.count(f"number {n} ") <= 1 for n in range(60))


def test_the_reference_limit_on_lines_leaves_long_stories_out(
    reference_tasks: Path, gpt2: Tokenizer, data_dir: Path
) -> None:
    cell = open_cell(request_for(gpt2, "qa3", 2048, open_data(data_dir)))
    questions = load_questions(open_data(data_dir), "qa3", 42).questions
    lines = (2048 - 300) // 8
    assert [q.number for q in questions if not cell.holds(q)] == [q.number for q in questions if len(q.facts) + 1 > lines]
    assert not all(cell.holds(q) for q in questions)
    for line in (reference_tasks / "babilong/rows_long.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["task"] == "qa3":
            kept = [q for q in questions if len(q.facts) + 1 <= row["max_n_facts"]]
            assert kept[row["question_number_after_filter"]].number == row["question_number"]


def test_rows_of_a_chunk_equal_those_of_the_whole_cell(tiny: Tokenizer) -> None:
    whole = build(tiny, "qa3", 4096, samples=12)
    request = request_for(tiny, "qa3", 4096, STAND_IN, samples=12)
    parts = build_chunk(request, range(8, 12)) + build_chunk(request, range(0, 8))
    assert [row.sha256 for row in parts] == [row.sha256 for row in whole[8:] + whole[:8]]


def test_the_files_that_rows_depend_on_are_named(data_dir: Path, tiny: Tokenizer) -> None:
    names = [path.name for path in files_read(request_for(tiny, "qa5", 4096, open_data(data_dir)))]
    assert names[0] == "qa5_three-arg-relations_test.txt"
    assert len(names) == 7
    assert [path.name for path in files_read(request_for(tiny, "qa5", 0, open_data(data_dir)))] == names[:1]
    assert files_read(request_for(tiny, "qa1", 4096, STAND_IN)) == []


def test_a_tokenizer_whose_pieces_do_not_add_up_fits_too(tmp_path: Path) -> None:
    """A vocabulary with a token across a blank (`e t`): counts are then real ones, and the fit holds all the same."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Backend(models.BPE(unk_token="?"))
    text = "the table the tower the test beside the tree. John went to the hallway. Where is Mary? "
    alphabet = [chr(code) for code in range(32, 127)] + ["\n", "’"]
    trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=["?"], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([text] * 10, trainer)
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?").save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert not piece_counter(tokenizer).independent
    for row in build(tokenizer, "qa1", 4096):
        assert row.prompt_tokens == tokenizer.count(row.prompt)
        assert 0.97 * 4096 <= row.prompt_tokens + row.max_new_tokens <= 4096


def test_no_other_task_has_a_length_of_facts_alone(tiny: Tokenizer) -> None:
    request = dataclasses.replace(request_for(tiny, "qa1", 0, STAND_IN), task="niah_single_1")
    with pytest.raises(UserError, match="niah_single_1 has no length 0k"):
        frozen_rows(request, babilong_rows)
