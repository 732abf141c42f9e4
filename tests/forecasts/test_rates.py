"""Seconds by arithmetic: operations and bytes against what torch counts, and what the rates make of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ropepp_eval.adapters.model_facts import shapes_of
from ropepp_eval.checkpoints.reading import met_by_a_token
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.calls import Read, Steps, chunks
from ropepp_eval.forecasts.devices import DEVICES, device_named
from ropepp_eval.forecasts.rates import (
    Rates,
    attention_operations,
    matrix_operations,
    rows_seconds,
    seconds_of,
    step_bytes,
)
from tests.adapters.families import FAMILIES
from tests.adapters.toys import tiny_llama

ONE = Rates(name="one", call_seconds=0.0, matrix=1.0, attention=1.0, masked=1.0, weights=1.0, cache=1.0, row=1.0)


def counted(model: Any, tokens: int) -> float:
    """Operations of a pass over a prompt with all its logits, as torch counts them; eager computes all scores."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long))
    return float(counter.get_total_flops())


@pytest.mark.parametrize("name", ["", "Qwen3", "Gemma", "GPT-NeoX", "Phi-3", "OLMo 2"])
def test_operations_are_those_that_torch_counts(name: str) -> None:
    model = tiny_llama(attention="eager")
    if name:
        family = next(one for one in FAMILIES if one.name == name)
        config = family.config()
        config._attn_implementation = "eager"
        model = family.kind(config).eval()
    shapes = shapes_of(model)
    read = Read(tokens=48, masked=True, logits=48)
    ours = matrix_operations(shapes, read.tokens, read.logits) + attention_operations(shapes, read)
    assert ours == pytest.approx(counted(model, read.tokens), rel=0.01)


def test_of_experts_those_that_a_token_meets_count() -> None:
    model = next(one for one in FAMILIES if one.name == "Qwen3 MoE")
    config = model.config()
    with torch.device("meta"):
        tensors = {name: one.shape for name, one in model.kind(config).named_parameters()}
    experts = sum(shape.numel() for name, shape in tensors.items() if ".experts." in name)
    rest = sum(
        shape.numel() for name, shape in tensors.items() if len(shape) > 1 and ".experts." not in name and ".layers." in name
    )
    assert met_by_a_token(tensors, config) == rest + experts // 2


def test_chunks_read_every_pair_once_and_what_a_mask_hides_too() -> None:
    shapes = shapes_of(tiny_llama())
    pieces = list(chunks(Read(tokens=100, logits=3), 40))
    assert [(piece.tokens, piece.past_tokens, piece.masked, piece.logits) for piece in pieces] == [
        (40, 0, False, 0),
        (40, 40, True, 0),
        (20, 80, True, 3),
    ]
    pairs = 40 * 41 / 2 + 40 * 80 + 20 * 100
    assert sum(attention_operations(shapes, piece) for piece in pieces) == 4 * 2 * 32 * pairs


def test_a_step_reads_the_weights_once_and_the_cache_of_every_row() -> None:
    shapes = shapes_of(tiny_llama())
    alone = seconds_of(Steps(rows=1, context=100, steps=1), shapes, ONE, "float32")
    assert alone == step_bytes(shapes, "float32") + shapes.kv_bytes(100, 4)
    assert step_bytes(shapes, "float32") == 4 * (shapes.matrix_parameters + 96 * 32)
    together = seconds_of(Steps(rows=3, context=100, steps=2), shapes, ONE, "float32")
    more = 2 * matrix_operations(shapes, 1, 1)
    assert together == pytest.approx(2 * (step_bytes(shapes, "float32") + 3 * shapes.kv_bytes(100, 4) + more))


def test_rows_for_a_scheduler() -> None:
    """Twice the rows take twice as long; side by side they share the weights; a longer prompt costs more than its tokens."""
    shapes = shapes_of(tiny_llama())
    rates = dataclasses.replace(ONE, row=1e9, cache=1e9)

    def seconds(**more: int) -> float:
        return rows_seconds(shapes, rates, **{"prompt_tokens": 1000, "new_tokens": 10, "rows": 8, **more})

    assert seconds(rows=16) == pytest.approx(2 * seconds())
    assert seconds(side_by_side=8) < seconds()
    assert seconds(prompt_tokens=2000) > 2 * seconds()
    assert seconds(new_tokens=0) < seconds()


def test_a_device_is_found_however_it_is_written_and_an_unknown_one_names_those_known() -> None:
    assert device_named("H100") is device_named("nvidia h100") is DEVICES["h100"]
    assert device_named("RTX 4090") is DEVICES["4090"]
    with pytest.raises(UserError, match="known are h100, h200, a100, 4090"):
        device_named("tpu")


def test_a_named_device_reaches_what_it_states() -> None:
    """H100 in bfloat16: 64k tokens of a 376M shape. Prompts at half the matrix rate, attention at the stated share of it."""
    shapes, device = shapes_of(tiny_llama()), DEVICES["h100"]
    rates = device.rates(shapes, "bfloat16", "sdpa")
    assert rates.matrix == 0.5 * 989e12
    assert rates.weights == 0.7 * 3.35e12
    assert device.rates(shapes, "float32", "sdpa").matrix == 0.5 * 67e12
    assert device.rates(shapes, "bfloat16", "eager").attention < rates.attention
    assert "not measured on this device" in device.assumptions("bfloat16")[1]
