"""Rows with Llama 3's tokenizer, its BOS counted: every length is filled and never passed, and lm-eval's HFLM reads the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.data import open_data
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import resolve_tasks, task_entries
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.adapters.toys import tiny_llama
from tests.tasks.test_fill import LARGE_UNITS, TASKS

BOS, EOS = 128_000, 128_001
WINDOW = 512
SCORED = ("lambada", "openbookqa", "wikitext_positions")


def rows_of(task: str, tokenizer: Tokenizer, data: Path, length: int, samples: int = 1) -> list[Row]:
    request = RowRequest(
        task=task, length_tokens=length, samples=samples, seed=42, protocol="reference", tokenizer=tokenizer, data=open_data(data)
    )  # fmt: skip
    return frozen_rows(request, task_entries()[task].build_rows())


def requests(rows: list[Row]) -> list[Any]:
    entry = task_entries()[rows[0].task]
    return [one for row in rows for one in requests_of(row, entry.output_type, dict(entry.generation), doc=row.as_doc())]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_prompt_bos_and_budget_fill_every_length(task: str, llama3: Tokenizer, data_dir: Path) -> None:
    lengths = [2048, 4096, 8192, 16384, 32768]
    if task in ("niah_single_2", "cwe", "babilong_qa1"):
        lengths.append(65536)
    for length in lengths:
        for row in rows_of(task, llama3, data_dir, length):
            ids = llama3.prompt_ids(row.prompt)
            assert row.prompt_tokens == len(ids)
            assert [place for place, token in enumerate(ids) if token == BOS] == [0]
            filled = len(ids) + row.max_new_tokens + max(map(llama3.count, row.choices), default=0)
            assert min(0.97 * length, length - LARGE_UNITS.get(task, 0)) <= filled <= length


@pytest.fixture(scope="module")
def lm(llama3: Tokenizer) -> NativeLM:
    model = tiny_llama(vocab_size=128_256, bos_token_id=BOS, eos_token_id=EOS, max_position_embeddings=4096)
    return NativeLM.from_objects(model, llama3.fast, max_length=4096)


@pytest.fixture(scope="module")
def theirs(lm: NativeLM, llama3: Tokenizer) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=lm.model, tokenizer=llama3.fast, max_length=WINDOW, batch_size=1, backend="causal")


@pytest.mark.parametrize("task", [*(entry.name for entry in resolve_tasks(["ruler"])), "babilong_qa1", *SCORED])
def test_one_bos_is_sent_and_was_counted(task: str, lm: NativeLM, llama3: Tokenizer, data_dir: Path) -> None:
    (row,) = rows_of(task, llama3, data_dir, 4096)
    for job in lm.encoder.jobs(requests([row])):
        assert job.error is None
        assert len(job.prompt) == row.prompt_tokens
        assert [place for place, token in enumerate(job.prompt) if token == BOS] == [0]
        if not row.window_tokens:  # else all of it is prompt, and is scored
            assert len(job.prompt) + max(job.budget, job.new_tokens) <= 4096


@pytest.mark.parametrize(("task", "samples"), [("lambada", 12), ("openbookqa", 4)])
def test_contexts_end_where_lm_evals_end(
    task: str, samples: int, lm: NativeLM, theirs: Any, llama3: Tokenizer, data_dir: Path
) -> None:
    asked = requests(rows_of(task, llama3, data_dir, 2048, samples))
    for job, request in zip(lm.encoder.jobs(asked), asked, strict=True):
        context, continuation = theirs._encode_pair(*request.args)
        assert list(job.prompt) == context
        assert job.new_tokens == len(continuation)
    expected = theirs.loglikelihood(asked, disable_tqdm=True)
    answers = dict(lm.answers(asked))
    assert [answers[number].response[1] for number in range(len(asked))] == [greedy for _, greedy in expected]
    for number, (score, _) in enumerate(expected):
        assert answers[number].response[0] == pytest.approx(score, abs=5e-4, rel=1e-5)


def test_pages_are_read_through_lm_evals_windows(lm: NativeLM, theirs: Any, llama3: Tokenizer, data_dir: Path) -> None:
    """Its prefix and the tokenizer's BOS both stand before the first window; the BOS is scored."""
    (row,) = rows_of("wikitext", llama3, data_dir, 2048)
    assert row.prompt_tokens > WINDOW
    ours = NativeLM.from_objects(lm.model, llama3.fast, max_length=WINDOW)
    (answer,) = dict(ours.answers(requests([row]))).values()
    assert answer.prompt_tokens == answer.new_tokens == row.prompt_tokens == len(theirs.tok_encode(row.prompt))
    (expected,) = theirs.loglikelihood_rolling(requests([row]), disable_tqdm=True)
    assert answer.response == pytest.approx(expected, abs=5e-4, rel=1e-5)
