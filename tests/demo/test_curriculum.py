"""What the demo models read: the evaluation's forms, none of its rows, and the same for everybody."""

from __future__ import annotations

import random
import re

import pytest

from ropepp_eval.data import DataFolder
from ropepp_eval.demo import recipe
from ropepp_eval.demo.curriculum import KINDS, STAGES, make_batch, stage_of
from ropepp_eval.demo.document import ANSWER, Document
from ropepp_eval.demo.zoo import demo_tokenizer
from ropepp_eval.rows.building import DEFAULT_SEED
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.row import Row, RowRequest

STEPS = 30
EVALUATED = ("niah_single_1", "niah_single_2", "niah_multikey_2", "babilong_qa1", "babilong_qa2")


def evaluation_rows(task: str, length_tokens: int, samples: int = 20) -> list[Row]:
    request = RowRequest(
        task=task,
        length_tokens=length_tokens,
        samples=samples,
        seed=DEFAULT_SEED,
        protocol="reference",
        tokenizer=demo_tokenizer(),
        data=DataFolder(None),
    )
    return task_entries()[task].build_rows()(request)


def documents(kind: str, count: int = 20, room: int = 500) -> list[Document]:
    made = [Document(demo_tokenizer()) for _ in range(count)]
    for number, document in enumerate(made):
        KINDS[kind](document, random.Random(f"{kind} {number}"), room)
    return made


def test_no_evaluation_row_is_read_in_training() -> None:
    read = {
        prompt
        for step in range(STEPS * 2 // 3, STEPS)
        for prompt in make_batch(demo_tokenizer(), stage_of(step, STEPS), recipe.SEED, step).prompts
    }
    assert len(read) > 50
    for task in EVALUATED:
        rows = evaluation_rows(task, 512)
        assert not read & {row.prompt for row in rows}
        values = {reference for row in rows for reference in row.references if reference.isdigit()}
        assert not any(value in prompt for prompt in read for value in values)


def test_streams_of_training_are_named_apart_from_the_evaluations() -> None:
    """Even with the evaluation's own seed the texts are others."""
    batch = make_batch(demo_tokenizer(), STAGES[-1], DEFAULT_SEED, 0)
    assert not set(batch.prompts) & {row.prompt for task in EVALUATED for row in evaluation_rows(task, 512)}


@pytest.mark.parametrize(("kind", "task", "answer"), [
    ("niah_single_1", "niah_single_1", " "),
    ("qa1", "babilong_qa1", "\nAnswer: The most recent location of"),
])  # fmt: skip
def test_a_whole_prompt_has_the_evaluations_words_around_what_was_drawn(kind: str, task: str, answer: str) -> None:
    evaluated = evaluation_rows(task, 512, 1)[0].prompt
    for document in documents(kind):
        [prompt] = document.prompts
        assert prompt.split("\n")[0] == evaluated.split("\n")[0]
        assert prompt.split("\n")[-1].split()[:2] == evaluated.split("\n")[-1].split()[:2]
        text = document.tokenizer.fast.decode(document.tokens)
        assert text.startswith(prompt + answer)


@pytest.mark.parametrize("kind", ["niah_single_1", "niah_single_2", "niah_multikey_2"])
def test_a_needles_answer_is_its_number_and_counts_fully(kind: str) -> None:
    for document in documents(kind):
        asked = document.prompts[0].split("number for ")[-1].split(" mentioned")[0]
        value = document.prompts[0].split(f"numbers for {asked} is: ")[1][:7]
        begin = len(demo_tokenizer().encode(document.prompts[0]))
        assert demo_tokenizer().decode(document.tokens[begin : begin + 9]) == f" {value}."
        assert set(document.weights[begin : begin + 9]) == {ANSWER}


@pytest.mark.parametrize("kind", ["qa1", "dense_world", "listed_world"])
def test_every_person_asked_about_is_where_they_went_last(kind: str) -> None:
    for document in documents(kind, room=480):
        text = document.tokenizer.fast.decode(document.tokens)
        body = text.split("<context>\n")[-1]
        for part in body.split("Where is ")[1:]:
            person = part.split("?")[0]
            said = part.split("?")[1].replace(f"\nAnswer: The most recent location of {person} is", "").split(".")[0].strip()
            before = body.split("Where is " + part)[0]
            walked = [sentence for sentence in before.split(".") if f"{person} " in sentence and " to the " in sentence]
            assert walked[-1].split()[-1] == said


def test_in_the_wide_world_too() -> None:
    asked_about = re.compile(r"^(?:Question: Where is (\w+)\?|Where is (\w+)\?|The most recent location of (\w+) is|(\w+))")
    for document in documents("wide_world", room=480):
        said: dict[str, str] = {}
        sentence, asks = "", False
        for token, weight in zip(document.tokens, document.weights, strict=True):
            sentence += document.tokenizer.fast.decode([token])
            asks |= weight == ANSWER
            if sentence.endswith("."):
                place = sentence.split(" ")[-1].rstrip(".")
                found = asked_about.search(sentence.strip())
                assert found is not None
                person = next(name for name in found.groups() if name)
                if asks:
                    assert said[person] == place
                said[person] = place
                sentence, asks = "", False
        assert len(said) > 1


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"variable_chain", "qa2", "qa3"}))
def test_documents_keep_near_their_room(kind: str) -> None:
    assert max(len(document) for document in documents(kind, room=480)) <= 560


def test_batches_depend_on_seed_and_step_alone_and_fill_their_rows() -> None:
    stage = STAGES[1]
    first, again, other = (make_batch(demo_tokenizer(), stage, recipe.SEED, step) for step in (7, 7, 8))
    assert first == again != other
    assert {len(row) for row in (*first.tokens, *first.weights)} == {stage.length_tokens + 1}
    assert len(first.tokens) == stage.rows


def test_lengths_grow_to_the_trained_length() -> None:
    lengths = [stage_of(step, 100).length_tokens for step in range(100)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (64, recipe.TRAINED_LENGTH_TOKENS)


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [recipe.rate_share(step, 500) for step in range(500)]
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == 1.0
