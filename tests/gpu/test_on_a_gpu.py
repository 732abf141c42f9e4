"""What a GPU must give: the CPU's numbers by every kernel, the CPU's answers, one wait a step, and no more memory than was foreseen."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval.adapters.native import NativeLM
from tests.adapters.toys import instances

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
MODELS = Path(__file__).resolve().parents[2] / "models/demo"
NAMES = ("rope", "ropepp_eh", "ropepp_ec", "fope", "partial", "alibi", "nope")
TEXT = "Some special magic numbers are hidden within the following text. " * 12
NEEDS_FLASH = pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="needs the package flash-attn")


def adapter(name: str, device: str, **settings: Any) -> NativeLM:
    return NativeLM(str(MODELS / name), device=device, **settings)


def scores(lm: NativeLM) -> list[float]:
    pairs = [(TEXT, " number"), (TEXT, " text"), (TEXT[:90], " is hidden here")]
    return [answer.response[0] for _, answer in sorted(lm.answers(instances("loglikelihood", *pairs)))]


@pytest.mark.parametrize("kernel", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("name", NAMES)
def test_float32_scores_are_the_cpus(name: str, kernel: str) -> None:
    expected = scores(adapter(name, "cpu", dtype="float32"))
    assert scores(adapter(name, "cuda", dtype="float32", attention=kernel)) == pytest.approx(expected, abs=1e-3)


@NEEDS_FLASH
@pytest.mark.parametrize("name", NAMES)
def test_flash_attentions_scores_are_sdpas_within_bfloat16(name: str) -> None:
    expected = scores(adapter(name, "cuda", dtype="bfloat16"))
    assert scores(adapter(name, "cuda", dtype="bfloat16", attention="flash_attention_2")) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_answers_written_side_by_side_are_the_cpus(name: str) -> None:
    asked = [(TEXT[: 100 * number], {"max_gen_toks": 24, "until": []}) for number in range(1, 7)]
    requests = instances("generate_until", *asked)
    expected, found = (dict(adapter(name, device, dtype="float32").answers(requests)) for device in ("cpu", "cuda"))
    assert [found[number].response for number in found] == [expected[number].response for number in found]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_waits_for_the_device_once(name: str) -> None:
    lm = adapter(name, "cuda", dtype="bfloat16")
    lm.end_ids = frozenset()

    def waits(tokens: int) -> int:
        requests = instances(
            "generate_until", *[(TEXT[:size], {"max_gen_toks": tokens, "until": []}) for size in (200, 300)]
        )
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                list(lm.answers(requests))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(one.message) for one in said)

    waits(8)  # the first call also builds kernels
    assert waits(40) - waits(20) <= 20


@pytest.mark.parametrize("name", NAMES)
def test_memory_stays_within_the_plan(name: str) -> None:
    lm = adapter(name, "cuda", dtype="bfloat16")
    requests = instances("generate_until", (TEXT * 8, {"max_gen_toks": 16, "until": []}))
    planned = lm.plan(requests).memory
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    list(lm.answers(requests))
    used = torch.cuda.max_memory_allocated() - held
    assert used <= 1.1 * (planned.total - planned.weights) + (64 << 20)
