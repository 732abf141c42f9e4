"""What can't be done exactly is said in one line; what vLLM did not compute is never believed. No engine is started."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lm_eval.api.instance import Instance

from ropepp_eval.adapters.base import RowAdapter
from ropepp_eval.adapters.encoding import Span
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.adapters.vllm import engine as vllm_engine
from ropepp_eval.adapters.vllm.arguments import platform_of
from ropepp_eval.adapters.vllm.engine import EngineSettings, death, last_lines, require_vllm, start_message
from ropepp_eval.adapters.vllm.lm import VllmLM, engine_settings, translated
from ropepp_eval.adapters.vllm.requests import believable_logprobs
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.tokenizer import load_tokenizer
from tests.vllm.tiny import make_checkpoint


def test_a_row_of_other_tokens_than_planned_is_never_asked(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    lm = object.__new__(VllmLM)  # without an engine: there is nothing to ask it
    RowAdapter.__init__(
        lm,
        load_tokenizer(str(tiny_tokenizer_dir)),
        Settings(),
        name="",
        checkpoint=None,
        trained_tokens=64,
        vocabulary=512,
        end_ids=frozenset(),
    )
    doc = {"row": 0, "length_tokens": 64, "prompt_tokens": 3}
    ((_, answer),) = lm.answers(
        [Instance("generate_until", doc, ("The sky is blue. The sun is yellow.", {"max_gen_toks": 2}), 0)]
    )
    assert answer.response is None
    assert answer.error is not None
    assert answer.error.stage == "ledger"
    assert "counted 3 prompt tokens" in answer.error.message


def output(ids: list[int], *, cached: int = 0, wrong_from: int | None = None, ranks: tuple[int, ...] = ()) -> Any:
    """A finished request of vLLM with log-probability -position for each token."""
    from vllm.logprobs import FlatLogprobs

    flat = FlatLogprobs()
    flat.append(None)
    for at, token in enumerate(ids[1:], 1):
        shown = token + 1 if wrong_from is not None and at >= wrong_from else token
        rank = ranks[at - 1] if ranks else 5
        flat.append_fast([shown, 99], [-float(at), -0.5], iter([rank, 1]), [None, None])
    return SimpleNamespace(num_cached_tokens=cached, prompt_logprobs=flat)


IDS = [3, 1, 4, 1, 5, 9]
SPAN = Span(np.asarray(IDS, np.int32), 3)


def test_scored_tokens_are_read_from_their_own_positions() -> None:
    scored = believable_logprobs(output(IDS, cached=2), SPAN)
    assert scored is not None
    np.testing.assert_array_equal(scored[0], [-3.0, -4.0, -5.0])
    assert scored[1] is False


def test_greedy_is_every_token_first_in_rank() -> None:
    assert believable_logprobs(output(IDS, ranks=(7, 7, 1, 1, 1)), SPAN)[1] is True  # type: ignore[index]
    assert believable_logprobs(output(IDS, ranks=(1, 1, 1, 2, 1)), SPAN)[1] is False  # type: ignore[index]


def test_scored_positions_from_the_prefix_cache_are_not_believed() -> None:
    assert believable_logprobs(output(IDS, cached=3), SPAN) is None


def test_log_probabilities_of_other_tokens_are_not_believed() -> None:
    assert believable_logprobs(output(IDS, wrong_from=5), SPAN) is None
    assert believable_logprobs(output(IDS[:-1]), SPAN) is None


def test_missing_vllm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ropepp-eval\[vllm\] for CUDA, or run `make setup-vllm`"):
        require_vllm()


def test_an_untested_version_warns_with_the_tested_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "vllm_version", lambda: "9.9.9")
    with pytest.warns(UserWarning, match=r"vLLM 9\.9\.9 is outside the tested range \(0\.32\.\*\)"):
        require_vllm()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpu_memory_utilization": "1.5"}, r"gpu_memory_utilization 1\.5 is not in \(0, 1\]"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size 0 is below 1"),
        ({"tensor_parallel_size": "two"}, "tensor_parallel_size 'two' can't be read; it must be a number"),
        ({"enforce_eager": "perhaps"}, "enforce_eager 'perhaps' can't be read; it must be True or False"),
    ],
)
def test_bad_engine_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        engine_settings(given)


def test_settings_of_the_native_adapter_mean_the_same_here() -> None:
    engine = translated(Settings(chunk_tokens=512, batch_size=3), EngineSettings())
    assert (engine.max_num_batched_tokens, engine.max_num_seqs) == (512, 3)
    alone = translated(Settings(deterministic=True), EngineSettings(max_num_seqs=8))
    assert (alone.max_num_seqs, alone.enable_prefix_caching) == (1, False)
    with pytest.raises(UserError, match="cache_tokens is a setting of the native adapter"):
        translated(Settings(cache_tokens=100), EngineSettings())


def test_heads_that_can_not_be_shared_are_refused(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    folder = make_checkpoint(tmp_path / "eh", tiny_tokenizer_dir, "ropepp_eh", num_attention_heads=12, num_key_value_heads=6)
    with pytest.raises(
        UserError, match="tensor_parallel_size 2 does not divide the 3 key/value heads of eh; it may be 1, 3"
    ):
        VllmLM(str(folder), tensor_parallel_size=2)


def test_a_device_that_this_vllm_was_not_built_for_is_refused() -> None:
    assert platform_of("auto") == platform_of(None)
    with pytest.raises(UserError, match="the installed vLLM runs on"):
        platform_of("mps")


def test_too_little_memory_for_one_request_is_refused(
    tmp_path: Path, tiny_tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    monkeypatch.setattr("ropepp_eval.adapters.vllm.arguments.available_memory", lambda device: 1 << 20)
    folder = make_checkpoint(tmp_path / "rope", tiny_tokenizer_dir, "rope")
    with pytest.raises(UserError, match="one request of 8,194 tokens needs"):
        VllmLM(str(folder))


def test_the_engines_last_words_are_in_the_message(tmp_path: Path) -> None:
    log = tmp_path / "vllm-engine.log"
    log.write_text(
        "INFO fine\n(EngineCore pid=1) ERROR 11-22 [core.py:9] ValueError: No available memory for the cache blocks.\n"
    )
    assert last_lines(log) == "ValueError: No available memory for the cache blocks."
    assert death(RuntimeError("gone"), log).message.endswith(
        "its last lines: ValueError: No available memory for the cache blocks."
    )
    message = start_message(RuntimeError("Engine core initialization failed."), log, {"max_model_len": 65538})
    assert "its cache must hold 65,538 tokens: ask for shorter lengths" in message
    assert "\n" not in message
    assert last_lines(tmp_path / "absent.log") == "it left no lines"
