"""Models of transformers' own classes in vLLM, from the same checked files: equal answers, or a refusal before an engine starts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropepp_eval.adapters.encoding import Job, Span
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.vllm import VllmLM
from ropepp_eval.adapters.vllm.arguments import check_architecture
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.ids import Tokenizer
from tests.adapters.families import BY_CLASS, FAMILIES, OWN_MODEL, Family
from tests.adapters.toys import Letters, instances
from tests.vllm.tiny import TOLERANCE, answered

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
BOOK = "the book says that who reads it knows what it is; "
LARGER: dict[str, Any] = {"head_dim": 32, "hidden_size": 128, "intermediate_size": 64, "initializer_range": 0.2}
"""vLLM's attention takes heads of 32 and more, experts a multiple of 32; weights spread as the wider layers want it."""
RUN = [family for family in FAMILIES if family.vllm in (OWN_MODEL, BY_CLASS)]
REFUSED = [family for family in FAMILIES if family not in RUN]


def saved(family: Family, folder: Path, **changes: Any) -> Path:
    return dataclasses.replace(family, settings={**family.settings, **changes}).save(folder)


def named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


@pytest.fixture
def engine_in_this_process(family: Family, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an engine in this process needs and leaves. vLLM looks at each class in a process of its own, 8 s each where it has no notes
    of earlier starts; here the class is imported anyway. Where it runs transformers' own class, it changes that class for good."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    monkeypatch.setattr("vllm.model_executor.models.registry._run_in_subprocess", lambda look: look())
    decoder: Any = MODEL_MAPPING[family.kind.config_class]
    bases, kept = decoder.__bases__, dict(vars(decoder))
    yield
    decoder.__bases__ = bases
    for name in set(vars(decoder)) - set(kept):
        delattr(decoder, name)
    for name in ("__init__", "__call__"):
        if name in kept:
            setattr(decoder, name, kept[name])


@pytest.mark.usefixtures("engine_in_this_process")
@pytest.mark.parametrize("family", RUN, ids=[family.name for family in RUN])
def test_both_engines_give_the_same_answers(family: Family, tmp_path: Path) -> None:
    """Of texts of 9 to 300 tokens, windows are 20: choices after a context that is read once, each token of a text, greedy continuations."""
    folder, tokenizer = saved(family, tmp_path / "model", **LARGER), Tokenizer(Letters(), "")
    pairs = [(BOOK * 6 + "who", " a"), (BOOK * 6 + "who", " bbb"), (BOOK * 2, " a"), (BOOK[:9], " bbb")]
    prompts = [(text, {"max_gen_toks": 16}) for text in (BOOK * 6 + "so", BOOK * 2, BOOK[:9])]
    requests = [*instances("loglikelihood", *pairs), *instances("generate_until", *prompts)]
    ids = np.array(tokenizer.encode(BOOK * 6), dtype=np.int32)
    text = [Job(index=0, kind="sliding_window", prompt=ids, spans=(Span(ids, 1),))]
    common: dict[str, Any] = {"tokenizer": tokenizer, "dtype": "float32", "max_length": 330}
    native = NativeLM(str(folder), **common)
    expected, wanted = dict(native.answers(requests)), answered(native, text)[0].response[0].logprobs
    vllm = VllmLM(str(folder), enforce_eager=True, kv_cache_gib=0.05, log_folder=str(tmp_path), **common)
    try:
        found, got = dict(vllm.answers(requests)), answered(vllm, text)[0].response[0].logprobs
    finally:
        vllm.close()
    for number, answer in expected.items():
        if number < len(pairs):
            assert found[number].response[0] == pytest.approx(answer.response[0], abs=TOLERANCE * answer.new_tokens)
        else:
            assert found[number].response == answer.response
    np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("engine_in_this_process")
@pytest.mark.parametrize("family", [named("GPT-NeoX")], ids=["GPT-NeoX"])
def test_a_class_that_vllm_compiles_gives_the_same_answers(family: Family, tmp_path: Path) -> None:
    """As users start it. By then vLLM has changed the class that our reader asks what it keeps."""
    folder = saved(family, tmp_path / "model", **LARGER)
    requests = instances("loglikelihood", (BOOK * 2, " bbb"))
    common: dict[str, Any] = {"tokenizer": Tokenizer(Letters(), ""), "dtype": "float32", "max_length": 330}
    ((_, expected),) = NativeLM(str(folder), **common).answers(requests)
    vllm = VllmLM(str(folder), kv_cache_gib=0.05, log_folder=str(tmp_path), **common)
    try:
        ((_, found),) = vllm.answers(requests)
    finally:
        vllm.close()
    assert found.response[0] == pytest.approx(expected.response[0], abs=TOLERANCE * expected.new_tokens)


@pytest.mark.parametrize("family", REFUSED, ids=[family.name for family in REFUSED])
def test_what_vllm_would_compute_otherwise_is_refused(family: Family, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{re.escape(family.vllm)}.*use --backend native"):
        check_architecture(read_checkpoint(saved(family, tmp_path / "model"), None))


@pytest.mark.parametrize("family", RUN, ids=[family.name for family in RUN])
def test_the_page_says_whose_model_runs(family: Family) -> None:
    from vllm import ModelRegistry

    by_class = ModelRegistry.models[family.kind.__name__].module_name.endswith(".transformers")
    assert family.vllm == (BY_CLASS if by_class else OWN_MODEL)


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("Granite", {"hidden_act": "gelu"}, "vLLM computes hidden_act 'silu' and config.json says 'gelu'"),
    ("Gemma", {"hidden_act": "relu"}, "vLLM computes hidden_act 'gelu_pytorch_tanh'"),
    ("Qwen3 MoE", {"attention_bias": True}, "vLLM computes attention_bias False and config.json says True"),
    ("StableLM", {"use_parallel_residual": True}, "vLLM computes use_parallel_residual False"),
    ("StableLM", {"qk_layernorm": True}, "vLLM computes qk_layernorm False"),
    ("GPT-2", {"reorder_and_upcast_attn": True}, "vLLM computes reorder_and_upcast_attn False"),
    ("GPT-OSS", {"layer_types": ["full_attention", "sliding_attention"]}, "vLLM puts windows into every second layer"),
    ("GPT-OSS", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "vLLM computes rope_type 'yarn'"),
    ("GPT-OSS", {"intermediate_size": 48}, "experts on a CPU take an intermediate_size of a multiple of 32, not 48"),
    ("Qwen2", {"hidden_size": 64, "head_dim": 16}, "has heads of 16; vLLM's attention on a CPU takes 32, 64"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "message"), FIELDS)
def test_a_field_that_vllm_does_not_follow_is_refused(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        check_architecture(read_checkpoint(saved(named(name), tmp_path / "model", **{**LARGER, **changes}), None))
