"""Every position embedding gives in vLLM what it gives in the native adapter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.api.instance import Instance

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.vllm import VllmLM
from tests.vllm.tiny import (
    LENGTHS,
    TOLERANCE,
    ZOO,
    as_authors_publish,
    change_slopes,
    continuations,
    logprobs,
    make_checkpoint,
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def engine(folder: Path, **settings: Any) -> VllmLM:
    return VllmLM(
        str(folder), dtype="float32", max_length=4300, **{"enforce_eager": True, "max_num_batched_tokens": 1024, **settings}
    )


@pytest.fixture(scope="module", params=ZOO)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_dir: Path) -> Path:
    folder = make_checkpoint(tmp_path_factory.mktemp("zoo") / request.param, tiny_tokenizer_dir, request.param)
    if request.param == "alibi":
        change_slopes(folder)
    return folder


@pytest.fixture(scope="module")
def native(checkpoint: Path) -> NativeLM:
    return NativeLM(str(checkpoint), dtype="float32")


@pytest.fixture(scope="module", params=[True, False], ids=["prefix caching", "no prefix caching"])
def vllm(checkpoint: Path, request: pytest.FixtureRequest) -> Iterator[VllmLM]:
    lm = engine(checkpoint, enable_prefix_caching=request.param)
    yield lm
    lm.close()


Expected = tuple[list[Any], list[str]]


def expected_of(native: NativeLM) -> Expected:
    """Log-probabilities and greedy continuations."""
    return logprobs(native), continuations(native)


@pytest.fixture(scope="module")
def expected(native: NativeLM) -> Expected:
    return expected_of(native)


def check_equal(expected: Expected, vllm: VllmLM, times: int = 2) -> None:
    """`times`: the second time much of it is in the prefix cache, where there is one."""
    assert [len(row) for row in expected[0]] == list(LENGTHS)
    for _ in range(times):
        for want, got in zip(expected[0], logprobs(vllm), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE)
    for _ in range(times):
        assert continuations(vllm) == expected[1]


def test_log_probabilities_and_greedy_continuations_equal_the_native_adapters(expected: Expected, vllm: VllmLM) -> None:
    check_equal(expected, vllm, 2 if vllm.engine_settings.enable_prefix_caching else 1)


def test_a_rolling_window_is_the_requests_own_whatever_the_adapter_could_hold(native: NativeLM, vllm: VllmLM) -> None:
    text = "One of the special magic numbers for key is hidden. " * 20
    requests = [Instance("rolling_window", {}, (text, {"window": window}), 0) for window in (64, 200)]
    expected = native.rolling_window(requests, disable_tqdm=True)
    assert expected[0] != expected[1]
    assert native.max_length != vllm.max_length
    assert vllm.rolling_window(requests, disable_tqdm=True) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("asked", ["ropepp_eh", "ropepp_ec", "fope"])
def test_compiled_models_equal_the_native_adapter_too(asked: str, tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    folder = make_checkpoint(tmp_path / asked, tiny_tokenizer_dir, asked)
    lm = engine(folder, enforce_eager=False)
    try:
        check_equal(expected_of(NativeLM(str(folder), dtype="float32")), lm)
    finally:
        lm.close()


AUTHORS_FORMS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "EH with rope_config": ("ropepp_eh", None, {"rope_config": {"imag": True, "imag_mode": "imag1"}}),
    "EC without rope_config": ("ropepp_ec", None, {}),
    "EC with YaRN in rope_config": (
        "ropepp_ec+yarn32",
        None,
        {"rope_config": {"imag": True, "imag_mode": "imag2", "yarn": True, "factor": 32}},
    ),
    "NoPE, which only the user can say": ("nope", "nope", {}),
    "Linear PI, which only the user can say": ("rope+pi8", "rope+pi8", {}),
    "partial": ("partial", None, {"partial_rotary_factor": 0.25}),
}


@pytest.mark.parametrize("form", AUTHORS_FORMS)
def test_the_authors_files_load_without_conversion(form: str, tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    made_as, asked, fields = AUTHORS_FORMS[form]
    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, made_as)
    told = NativeLM(str(folder), dtype="float32")
    as_authors_publish(folder, **fields)
    lm = engine(folder, position=asked)
    try:
        assert lm.engine is not None
        check_equal(expected_of(told), lm, 1)  # the files are what is tested here, and the cache above
    finally:
        lm.close()


@pytest.mark.parametrize("asked", ["ropepp_eh", "fope", "alibi"])
def test_two_processes_that_share_the_heads_equal_the_native_adapter(
    asked: str, tmp_path: Path, tiny_tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("two processes need two cores")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", f"{cores[0]}|{cores[1]}")  # on one NUMA node vLLM wants to be told
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4}
    folder = make_checkpoint(tmp_path / asked, tiny_tokenizer_dir, asked, **heads)
    if asked == "alibi":
        change_slopes(folder)
    lm = engine(folder, tensor_parallel_size=2)
    try:
        check_equal(expected_of(NativeLM(str(folder), dtype="float32")), lm)
    finally:
        lm.close()


def test_equal_heads_has_half_the_cache_of_equal_cache(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    blocks = {}
    for name in ("ropepp_eh", "ropepp_ec"):
        lm = engine(make_checkpoint(tmp_path / name, tiny_tokenizer_dir, name), kv_cache_gib=0.25)
        assert lm.engine is not None
        blocks[name] = lm.engine.config.cache_config.num_gpu_blocks
        lm.close()
    assert blocks["ropepp_eh"] == pytest.approx(2 * blocks["ropepp_ec"], rel=0.01)


def text(words: int) -> str:
    random = np.random.default_rng(words)
    return " ".join(random.choice("The grass is green. The sky is blue. Where is Mary?".split(), words))


def test_all_request_types_are_answered_as_the_native_adapter_does(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "ropepp_eh")
    endings = (" blue", " green grass", " Mary is", " blue")
    requests = [Instance("loglikelihood", {}, (text(n), end), 0) for n in (1, 60, 1500) for end in endings]
    requests += [Instance("loglikelihood", {}, ("", "The sky"), 0), Instance("loglikelihood", {}, ("The", ""), 0)]
    requests += [Instance("loglikelihood_rolling", {}, (text(100),), 0), Instance("loglikelihood_rolling", {}, ("",), 0)]
    requests += [Instance("sliding_window", {}, (text(400), {"window": 300, "stride": 64}), 0)]
    settings = ({"until": ["\n"], "max_gen_toks": 20}, {"until": ["a", "e"], "max_gen_toks": 20}, {"max_gen_toks": 1})
    requests += [Instance("generate_until", {}, (text(n), s), 0) for n in (3, 900) for s in settings]
    requests += [Instance("generate_until", {}, (text(6000), {"max_gen_toks": 5}), 0)]
    native = NativeLM(str(folder), dtype="float32", max_length=4300)
    lm = engine(folder)
    try:
        plan = lm.plan(requests)
        answers = dict(lm.answers(requests))
    finally:
        lm.close()
    assert (plan.requests, plan.refused) == (len(requests), sum(answer.error is not None for answer in answers.values()))
    assert plan.cache_tokens >= 4302
    assert "side by side" in plan.lines()[0]
    for index, want in native.answers(requests):
        got = answers[index]
        fields = ("prompt_tokens", "new_tokens", "budget", "finish", "cut", "prompt_sha256")
        assert [getattr(got, f) for f in fields] == [getattr(want, f) for f in fields], requests[index]
        assert (got.error and got.error.type) == (want.error and want.error.type)
        if isinstance(want.response, tuple):
            assert got.response[0] == pytest.approx(want.response[0], abs=TOLERANCE)
            assert got.response[1] == want.response[1]
        elif isinstance(want.response, list):
            assert [(w.begin, w.end) for w in got.response] == [(w.begin, w.end) for w in want.response]
            for one, other in zip(got.response, want.response, strict=True):
                np.testing.assert_allclose(one.logprobs, other.logprobs, rtol=0, atol=TOLERANCE)
        else:
            assert (
                got.response == pytest.approx(want.response, abs=1e-2)
                if isinstance(want.response, float)
                else got.response == want.response
            )
