"""Our adapter on real trained weights against lm-eval's HFLM and bare transformers, row by row in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval import inspect_checkpoint
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.data import open_data
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tokens.tokenizer import load_tokenizer
from tests.conftest import SHARED

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TOLERANCE = 2e-4
NEW_TOKENS = 24
"""Most tokens of an answer: enough for the number that is asked for."""


@pytest.fixture(scope="module")
def lm(real_checkpoint: Path) -> NativeLM:
    return NativeLM(str(real_checkpoint), dtype="float32")


@pytest.fixture(scope="module")
def theirs(real_checkpoint: Path) -> Any:
    """lm-eval's own model; what is in it is transformers' own Llama."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(real_checkpoint), dtype="float32", device="cpu", batch_size=1)


def rows_of(checkpoint: Path, task: str, length: int, samples: int, **rules: Any) -> list[Row]:
    """Rows of the real corpus where it is here, else of generated text."""
    data = SHARED / "data"
    request = RowRequest(
        task=task, length_tokens=length, samples=samples, seed=42, protocol="reference",
        tokenizer=load_tokenizer(str(checkpoint), **rules), data=open_data(data if data.is_dir() else None, offline=True),
    )  # fmt: skip
    rows = frozen_rows(request, task_entries()[task].build_rows())
    return [replace(row, max_new_tokens=min(row.max_new_tokens, NEW_TOKENS)) for row in rows]


def requests(rows: list[Row], task: str) -> list[Any]:
    return [one for row in rows for one in requests_of(row, task_entries()[task].output_type, {}, doc=row.as_doc())]


@torch.inference_mode()
def generated(model: Any, tokenizer: Any, row: Row) -> str:
    """The answer of bare `generate`."""
    ids = torch.tensor([tokenizer.encode(row.prompt, add_special_tokens=False)])
    made = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=row.max_new_tokens, do_sample=False, pad_token_id=0
    )
    text: str = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def test_it_is_what_its_authors_published(real_checkpoint: Path) -> None:
    info = inspect_checkpoint(real_checkpoint)
    assert (info.position, info.base, info.layers, info.hidden_size) == ("rope", 100_000, 30, 576)
    assert (info.query_heads, info.key_value_heads, info.vocab_size) == (9, 3, 49_152)
    assert (info.max_position_embeddings, info.parameters, info.stop_ids) == (8192, 134_515_008, (2,))
    tokenizer = load_tokenizer(str(real_checkpoint))
    assert tokenizer.most_added_tokens == 0
    assert [tokenizer.decode([token]) for token in tokenizer.encode(" in 2024!")] == [" in", " ", "2", "0", "2", "4", "!"]


@pytest.mark.parametrize(("task", "samples"), [("lambada", 40), ("openbookqa", 20)])
def test_scores_are_those_of_hflm(task: str, samples: int, real_checkpoint: Path, lm: NativeLM, theirs: Any) -> None:
    asked = requests(rows_of(real_checkpoint, task, 2048, samples), task)
    expected = theirs.loglikelihood(asked, disable_tqdm=True)
    got = dict(lm.answers(asked))
    assert len(got) == len(expected) >= samples
    for number, (score, greedy) in enumerate(expected):
        answer = got[number]
        assert answer.error is None
        assert answer.response == (
            pytest.approx(score, abs=TOLERANCE, rel=1e-5),
            greedy,
        )  # float32 sums of -39 differ by 2.2e-4


def test_greedy_answers_are_those_of_generate(real_checkpoint: Path, lm: NativeLM, theirs: Any) -> None:
    rows = [*rows_of(real_checkpoint, "niah_single_2", 512, 5), *rows_of(real_checkpoint, "niah_multikey_1", 512, 5)]
    answers = dict(lm.answers(requests(rows, "niah_single_2")))
    for number, row in enumerate(rows):
        assert answers[number].response == generated(theirs.model, theirs.tokenizer, row)
        assert answers[number].finish in ("eos", "length")
    assert (
        sum(row.references[0] in str(answers[number].response) for number, row in enumerate(rows)) >= 6
    )  # it knows what is asked


def test_answers_in_chat_are_those_of_transformers_own_template(real_checkpoint: Path, theirs: Any) -> None:
    lm = NativeLM.from_objects(theirs.model, theirs.tokenizer, prompt_format="chat", system="Answer with a number.")
    rules = {"prompt_format": "chat", "system": "Answer with a number."}
    rows = rows_of(real_checkpoint, "niah_single_2", 512, 2, **rules)
    answers = dict(lm.answers(requests(rows, "niah_single_2")))
    for number, row in enumerate(rows):
        begin, middle, prefix = row.prompt.partition("<|im_end|>\n<|im_start|>assistant\n")
        system, _, question = begin.partition("<|im_end|>\n<|im_start|>user\n")
        messages = [
            {"role": "system", "content": system.removeprefix("<|im_start|>system\n")},
            {"role": "user", "content": question},
        ]
        assert theirs.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) == begin + middle
        assert prefix.startswith(" The special magic number")
        assert answers[number].response == generated(theirs.model, theirs.tokenizer, row)
        assert answers[number].prompt_tokens + answers[number].budget <= 512
