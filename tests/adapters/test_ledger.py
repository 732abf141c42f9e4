"""What is sent is what the plan counted: a row that differs fails at stage `ledger`, with both numbers, and is never scored."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.data import open_data
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.runs.answering import Asking, answered_rows
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.execute import record_of
from ropepp_eval.runs.plan import build_plan
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer
from tests.tokens.test_saved_state import BOS_TEMPLATE

TASKS = ("niah_single_2", "vt", "cwe", "babilong_qa1", "lambada", "lambada_filled", "wikitext", "wikitext_positions",
         "wikitext_sliding", "openbookqa", "openbookqa_book")  # fmt: skip
LENGTH = 3072


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A checkpoint whose tokenizer puts a BOS before every text, as Llama 3's does."""
    folder = tmp_path_factory.mktemp("with-bos") / "model"
    shutil.copytree(tiny_checkpoint, folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) | {"post_processor": BOS_TEMPLATE}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lm(with_bos: Path) -> NativeLM:
    return NativeLM(str(with_bos))


def row_of(task: str, tokenizer: Tokenizer, protocol: str = "reference") -> Row:
    request = RowRequest(
        task=task, length_tokens=LENGTH, samples=1, seed=1, protocol=protocol, tokenizer=tokenizer, data=open_data(None)
    )
    return frozen_rows(request, task_entries()[task].build_rows())[0]


def requests(row: Row) -> list[Any]:
    entry = task_entries()[row.task]
    return requests_of(row, entry.output_type, dict(entry.generation), doc=row.as_doc())


@pytest.mark.parametrize("protocol", ["reference", "paper"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("add_bos_token", [None, False])
def test_every_task_counts_what_the_adapter_sends_and_stays_within_its_length(
    with_bos: Path, lm: NativeLM, task: str, protocol: str, add_bos_token: bool | None
) -> None:
    tokenizer = load_tokenizer(str(with_bos), add_bos_token=add_bos_token)
    row = row_of(task, tokenizer, protocol)
    adapter = lm if add_bos_token is None else NativeLM.from_objects(lm.model, lm.tokenizer, add_bos_token=False)
    jobs = adapter.encoder.jobs(requests(row))
    assert [job.error for job in jobs] == [None] * len(jobs)
    assert {len(job.prompt) for job in jobs} == {row.prompt_tokens}
    if not row.window_tokens:
        assert max(len(job.prompt) + max(job.budget, job.new_tokens) for job in jobs) <= row.length_tokens


@pytest.mark.parametrize("task", ["niah_single_2", "lambada", "wikitext_positions"])
def test_a_row_of_other_tokens_is_never_asked(with_bos: Path, lm: NativeLM, task: str) -> None:
    row = row_of(task, load_tokenizer(str(with_bos)))
    wrong = replace(row, prompt_tokens=row.prompt_tokens - 1)
    for _, answer in lm.answers(requests(wrong)):
        assert answer.response is None
        assert answer.error is not None
        assert answer.error.stage == "ledger"
        assert f"counted {wrong.prompt_tokens} prompt tokens and {row.prompt_tokens} would enter" in answer.error.message


def test_a_run_records_the_failure_and_scores_nothing(with_bos: Path, lm: NativeLM, tmp_path: Path) -> None:
    config = RunConfig.of(with_bos, tasks="niah_single_1", lengths="2k", samples=2, out=tmp_path / "run")
    plan = build_plan(config)
    (cell,) = plan.cells
    rows = [replace(cell.rows[0], prompt_tokens=7), cell.rows[1]]
    answered = answered_rows(Asking.of(cell.task), rows, lm)
    wrong, right = (record_of(cell, rows[place], answers, plan) for place, answers in answered)
    assert (wrong["scores"], wrong["error"]["stage"]) == (None, "ledger")
    assert right["error"] is None
    assert right["prompt_tokens"] == cell.rows[1].prompt_tokens
