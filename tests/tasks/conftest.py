"""What the tests of several benchmarks share: requests for rows, and the golden files' tiny Llama behind our adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

MakeRequest = Callable[..., RowRequest]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def gpt2_tokenizer(gpt2_tokenizer_dir: Path) -> Tokenizer:
    return load_tokenizer(str(gpt2_tokenizer_dir))


@pytest.fixture(scope="session")
def make_request(gpt2_tokenizer: Tokenizer) -> MakeRequest:
    """A request with GPT-2's tokenizer; stand-ins unless `data` is given."""

    def make(
        task: str, length_tokens: int = 2048, *, samples: int = 4, data: Path | None = None, **other: Any
    ) -> RowRequest:
        settings = {"seed": 42, "protocol": "reference", **other}
        return RowRequest(
            task=task,
            length_tokens=length_tokens,
            samples=samples,
            tokenizer=gpt2_tokenizer,
            data=open_data(data),
            **settings,
        )

    return make


@pytest.fixture(scope="session")
def lm_eval_golden(reference_tasks: Path) -> Path:
    """lm-eval's own results for a tiny Llama."""
    return reference_tasks / "lm_eval"


@pytest.fixture(scope="session")
def golden_lm(lm_eval_golden: Path) -> Any:
    """That Llama behind our adapter, as the golden results were made: float32, 1,024 positions."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from ropepp_eval.adapters.native import NativeLM

    model = LlamaForCausalLM.from_pretrained(lm_eval_golden / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(lm_eval_golden / "model")
    return NativeLM.from_objects(model, tokenizer, max_length=1024)


@pytest.fixture(scope="session")
def ask(golden_lm: Any) -> Callable[[Row, str], list[Any]]:
    """The adapter's responses to a row, in the form in which `process_results` gets them."""
    from ropepp_eval.rows.requests import requests_of

    def responses(row: Row, output_type: str) -> list[Any]:
        instances = requests_of(row, output_type, {}, doc=row.as_doc())
        answers = dict(golden_lm.answers(instances))
        assert all(answer.error is None for answer in answers.values())
        return [answers[index].response for index in range(len(instances))]

    return responses
