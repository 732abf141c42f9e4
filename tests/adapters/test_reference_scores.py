"""The native adapter against the scores that lm-eval 0.4.13's HFLM gave for the same model and requests."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from ropepp_eval.adapters.native import NativeLM


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]


def within(value: float, expected: float) -> bool:
    """The tolerance of the golden README."""
    return abs(value - expected) <= 5e-4 + 1e-6 * abs(expected)


@pytest.fixture(scope="module")
def folder(reference_tasks: Path) -> Path:
    return reference_tasks / "lm_eval"


@pytest.fixture(scope="module")
def lm(folder: Path) -> NativeLM:
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    return NativeLM.from_objects(model, tokenizer, max_length=1024, truncate="left")


def test_awkward_requests_score_as_hflm_scores_them(lm: NativeLM, folder: Path) -> None:
    rows = read(folder / "requests_loglikelihood.jsonl")
    answers = dict(lm.answers(instances("loglikelihood", [(r["context"], r["continuation"]) for r in rows])))
    for number, row in enumerate(rows):
        answer = answers[number]
        assert answer.error is None
        assert within(answer.response[0], row["loglikelihood"]), row["note"]
        assert answer.response[1] == row["is_greedy"], row["note"]
        assert answer.cut == row["tokens_cut_from_the_left"], row["note"]
        assert answer.new_tokens == row["n_continuation_tokens"], row["note"]
        assert answer.prompt_tokens == row["n_context_tokens"] - row["tokens_cut_from_the_left"]


@pytest.mark.parametrize("task", ["lambada_openai", "openbookqa"])
def test_scores_are_nearer_to_float64_than_to_the_references_rounding(lm: NativeLM, folder: Path, task: str) -> None:
    """On CPUs torch's float32 log_softmax, which HFLM takes, loses up to 2e-5 a token at this vocabulary; logsumexp does not."""
    rows = read(folder / f"{task}.jsonl")
    choices = [(row["context"], choice) for row in rows for choice in row.get("choices", [row])]
    answers = dict(lm.answers(instances("loglikelihood", [(c, choice["continuation"]) for c, choice in choices])))
    exact = copy.deepcopy(lm.model).double()
    for number, (context, choice) in enumerate(choices):
        before = len(lm.tokenizer(context)["input_ids"])
        ids = torch.tensor(lm.tokenizer(context + choice["continuation"])["input_ids"])
        with torch.no_grad():
            logprobs = exact(ids[None, :-1]).logits[0, before - 1 :].log_softmax(-1)
        expected = float(logprobs.gather(1, ids[before:, None]).sum())
        assert answers[number].response[0] == pytest.approx(expected, abs=3e-5, rel=0)
        assert abs(choice["loglikelihood"] - expected) < 2e-4


def test_rolling_windows_score_as_hflm_scores_them(lm: NativeLM, folder: Path) -> None:
    rows = read(folder / "requests_rolling.jsonl")
    values = lm.loglikelihood_rolling(instances("loglikelihood_rolling", [(r["text"],) for r in rows]))
    for value, row in zip(values, rows, strict=True):
        assert within(value, row["loglikelihood"]), row["note"]


def test_lambada_rows_score_as_hflm_scores_them(lm: NativeLM, folder: Path) -> None:
    rows = read(folder / "lambada_openai.jsonl")
    for (value, greedy), row in zip(
        lm.loglikelihood(instances("loglikelihood", [(r["context"], r["continuation"]) for r in rows])), rows, strict=True
    ):
        assert within(value, row["loglikelihood"])
        assert greedy == row["is_greedy"]


def test_openbookqa_choices_score_as_hflm_scores_them(lm: NativeLM, folder: Path) -> None:
    rows = read(folder / "openbookqa.jsonl")
    pairs = [(row["context"], choice) for row in rows for choice in row["choices"]]
    values = lm.loglikelihood(instances("loglikelihood", [(context, c["continuation"]) for context, c in pairs]))
    for (value, greedy), (_, choice) in zip(values, pairs, strict=True):
        assert within(value, choice["loglikelihood"])
        assert greedy == choice["is_greedy"]


@pytest.mark.parametrize("number", range(4))
def test_sliding_windows_give_the_published_losses(lm: NativeLM, folder: Path, number: int) -> None:
    cases = json.loads((folder / "sliding_window.json").read_text())
    ids = json.loads((folder / "sliding_window_ids.json").read_text())
    case = cases[number]
    wanted = ids[case["text"]]["ids"]
    text = lm.tokenizer.decode(wanted)
    assert lm.tokenizer.encode(text) == wanted
    request = instances("sliding_window", [(text, {"window": case["window"], "stride": case["stride"]})])
    ((_, answer),) = lm.answers(request)
    assert len(answer.response) == case["n_windows"]
    for window, expected in zip(answer.response, case["windows"], strict=True):
        assert (window.begin, window.end, len(window.logprobs)) == (expected["begin"], expected["end"], expected["n_scored"])
        assert -sum(window.logprobs) / len(window.logprobs) == pytest.approx(expected["mean_loss"], rel=1e-5)
