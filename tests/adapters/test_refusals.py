"""Requests that can't be asked become failed rows; settings that can't be used stop before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from transformers import AutoTokenizer, LlamaForCausalLM

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.errors import UserError


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]


@pytest.fixture(scope="module")
def lm(tiny_checkpoint: Path) -> NativeLM:
    return build(tiny_checkpoint)


def build(checkpoint: Path, **settings: Any) -> NativeLM:
    model = LlamaForCausalLM.from_pretrained(checkpoint)
    return NativeLM.from_objects(model, AutoTokenizer.from_pretrained(checkpoint), **{"max_length": 64, **settings})


def test_a_prompt_over_max_length_is_a_failed_row_and_the_others_go_on(lm: NativeLM) -> None:
    answers = dict(lm.answers(instances("loglikelihood", ("a " * 100, "b"), ("The sky is", " blue"))))
    assert answers[0].error is not None
    assert answers[0].error.stage == "budget"
    assert "truncate" in answers[0].error.message
    assert answers[1].error is None


@pytest.mark.parametrize("side", ["left", "middle"])
def test_a_prompt_is_cut_only_where_that_was_asked_and_says_so(tiny_checkpoint: Path, side: str) -> None:
    lm = build(tiny_checkpoint, truncate=side)
    ((_, answer),) = lm.answers(instances("generate_until", ("a " * 100, {"max_gen_toks": 4})))
    total = len(lm.tokenizer.encode("a " * 100))
    assert answer.error is None
    assert answer.prompt_tokens == 64 + 1 - 4
    assert answer.cut == total - answer.prompt_tokens


@pytest.mark.parametrize("settings", [{"do_sample": True}, {"temperature": 0.7}, {"top_k": 5}, {"max_gen_toks": 0}])
def test_anything_but_greedy_decoding_is_refused(lm: NativeLM, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        list(lm.answers(instances("generate_until", ("The sky", settings))))


def test_an_empty_continuation_is_a_failed_row(lm: NativeLM) -> None:
    ((_, answer),) = lm.answers(instances("loglikelihood", ("The sky", "")))
    assert answer.error is not None
    assert answer.error.type == "EmptyContinuation"


def test_a_blank_context_is_scored_after_the_prefix_token(lm: NativeLM) -> None:
    (blank, empty) = lm.loglikelihood(instances("loglikelihood", ("  ", "a"), ("", "  a")))
    assert blank == empty


def test_lm_evals_own_calls_stop_at_a_request_without_answer(lm: NativeLM) -> None:
    with pytest.raises(UserError, match=r"request 0 \(loglikelihood\)"):
        lm.loglikelihood(instances("loglikelihood", ("a " * 100, "b")))


def test_an_unknown_truncate_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match="truncate"):
        build(tiny_checkpoint, truncate="right")
