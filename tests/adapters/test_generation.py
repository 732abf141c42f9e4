"""Generation side by side gives what each prompt gives alone, and stops where it should."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ropepp_eval.adapters.native import NativeLM, generation
from ropepp_eval.adapters.writer import Writer
from tests.adapters.toys import Letters, instances, slow_generate, tiny_llama

MODELS = {name: tiny_llama(attention=name, seed=3) for name in ("sdpa", "eager")}
PROMPTS = st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=40), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(
    prompts=PROMPTS,
    prefix=st.text(st.sampled_from("ab"), max_size=30),
    budgets=st.lists(st.integers(1, 12), min_size=9, max_size=9),
    kernel=st.sampled_from(sorted(MODELS)),
    rows=st.sampled_from([None, 1, 2, 3]),
    cache_tokens=st.sampled_from([10, 100, 10_000]),
    chunk_tokens=st.sampled_from([1, 5, 4096]),
    call_tokens=st.sampled_from([0, 4, 128]),
)
def test_rows_written_side_by_side_equal_rows_written_alone(
    prompts: list[str],
    prefix: str,
    budgets: list[int],
    kernel: str,
    rows: int | None,
    cache_tokens: int,
    chunk_tokens: int,
    call_tokens: int,
) -> None:
    lm = NativeLM.from_objects(
        MODELS[kernel], Letters(), batch_size=rows, cache_tokens=cache_tokens, chunk_tokens=chunk_tokens
    )
    asked = [(prefix + prompt, {"max_gen_toks": budget}) for prompt, budget in zip(prompts, budgets, strict=False)]
    with mock.patch.object(generation, "CALL_TOKENS", call_tokens):
        answers = dict(lm.answers(instances("generate_until", *asked)))
    for number, (prompt, setting) in enumerate(asked):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompt), setting["max_gen_toks"])
        answer = answers[number]
        assert answer.response == lm.tokenizer.decode(expected, skip_special_tokens=True)
        assert answer.new_tokens == len(expected)
        assert answer.finish == ("eos" if expected[-1] == 0 else "length")


def test_generation_equals_transformers_generate() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters())
    prompts = ["abcab", "cc", "abcabcabcabcabcabcabcabc"]
    texts = lm.generate_until(instances("generate_until", *[(p, {"max_gen_toks": 20}) for p in prompts]), disable_tqdm=True)
    for prompt, text in zip(prompts, texts, strict=True):
        ids = torch.tensor([lm.tokenizer.encode(prompt)])
        out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, pad_token_id=0)
        assert lm.tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True) == text


def test_a_stop_text_ends_a_row_early_and_is_left_out() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters())
    ((_, whole),) = lm.answers(instances("generate_until", ("abc", {"max_gen_toks": 30})))
    stop = whole.response[7:10]
    end = whole.response.index(stop)
    ((_, answer),) = lm.answers(instances("generate_until", ("abc", {"max_gen_toks": 30, "until": ["\n\n\n", stop]})))
    assert answer.response == whole.response[:end]
    assert answer.finish == "stop"
    assert answer.new_tokens == end + 3 < whole.new_tokens


class Pieces:
    """A tokenizer whose tokens are any pieces of bytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return b"".join(self.pieces[i] for i in ids).decode(errors="replace")


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(st.sampled_from("ab.\n é🙂"), min_size=1, max_size=40),
    stops=st.lists(st.text(st.sampled_from("ab.\né🙂"), min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=60),
)
def test_a_stop_text_is_found_however_it_falls_into_tokens(text: str, stops: list[str], cuts: list[int]) -> None:
    data, pieces = text.encode(), []
    for width in cuts * 60:
        if data:
            pieces.append(data[:width])
            data = data[width:]
    writer = Writer(Pieces(pieces), 10_000, tuple(stops), frozenset())
    seen = b""
    for number, piece in enumerate(pieces):
        seen += piece
        done = writer.add(number)
        assert done == any(stop in seen.decode(errors="replace") for stop in stops)
        if done:
            break
    if writer.finish == "stop":
        written = seen.decode(errors="replace")
        assert writer.result() == written[: min(at for stop in stops if (at := written.find(stop)) >= 0)]


def test_a_finished_row_makes_room_for_the_next() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), batch_size=2)
    asked: list[tuple[str, dict[str, Any]]] = [("a" * 20, {"max_gen_toks": n}) for n in (3, 30, 3, 3)]
    decoder = lm.model.model
    with mock.patch.object(decoder, "forward", wraps=decoder.forward) as forward:
        answers = dict(lm.answers(instances("generate_until", *asked)))
    assert sum(answer.new_tokens for answer in answers.values()) == 39
    steps = [call for call in forward.call_args_list if call.kwargs["input_ids"].shape[1] == 1]
    assert len(steps) == 29  # the long row sets the pace, the short ones take turns beside it


def test_prompts_with_a_common_beginning_are_read_once() -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), max_length=2048)
    book = "".join(np.random.default_rng(1).choice(list("abc"), 800))
    asked = [(book + question, {"max_gen_toks": 4}) for question in ("aa", "bbb", "c")]
    decoder = lm.model.model
    with mock.patch.object(decoder, "forward", wraps=decoder.forward) as forward:
        answers = dict(lm.answers(instances("generate_until", *asked)))
    assert sum(call.kwargs["input_ids"].numel() for call in forward.call_args_list) < 800 + 30
    for number, (prompt, _) in enumerate(asked):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompt), 4)
        assert answers[number].response == lm.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("budget", [1, 2])
def test_the_smallest_budgets_are_met(budget: int) -> None:
    lm = NativeLM.from_objects(MODELS["sdpa"], Letters(), max_length=8)
    ((_, answer),) = lm.answers(instances("generate_until", ("a" * (9 - budget), {"max_gen_toks": budget})))
    assert answer.error is None
    assert answer.new_tokens <= budget
