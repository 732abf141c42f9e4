"""The memory planner, from shapes alone, against what tensors really take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval.adapters.memory import ModelShapes, available_memory, chunk_of, plan_memory
from ropepp_eval.adapters.model_facts import shapes_of
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.checkpoints.cache_layers import FullLayers
from ropepp_eval.errors import UserError
from tests.adapters.toys import Letters, instances, tiny_llama

SHAPES_376M = ModelShapes(
    parameters=375_931_904,
    hidden_size=1024,
    intermediate_size=3584,
    attention_heads=8,
    head_dim=128,
    vocab_size=128256,
    cache=(FullLayers(layers=8, entries_per_token=2 * 4 * 128),),
)


def test_the_cache_of_64k_tokens_at_the_376m_shape_is_one_gib_in_bfloat16() -> None:
    plan = plan_memory(SHAPES_376M, length_tokens=65536, dtype="bfloat16")
    assert plan.cache == 1 << 30
    assert plan.weights == 2 * 375_931_904


def test_the_plan_counts_what_the_store_allocates() -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters(), max_length=4096)
    forward = lm.forward
    store = forward.new_store(1, 1000)
    from ropepp_eval.adapters.native.cache import StackView

    forward.extend(StackView(store), lm.encoder.job(0, instances("loglikelihood_rolling", ("ab" * 400,))[0]).prompt)
    allocated = sum(buffer.nbytes for buffer in (*store.keys, *store.values) if buffer is not None)
    assert allocated == lm.shapes.kv_bytes(1000, 4) == plan_memory(lm.shapes, length_tokens=1000).cache


def test_a_cell_that_does_not_fit_is_refused_with_the_number_and_the_remedy() -> None:
    plan = plan_memory(SHAPES_376M, length_tokens=65536, dtype="float32", chunk_tokens=65536, available_bytes=4 << 30)
    assert not plan.fits
    with pytest.raises(UserError) as caught:
        plan.check("niah_single_1")
    message = str(caught.value)
    assert "niah_single_1 at 64k does not fit" in message
    assert "of 4.00 GiB" in message
    assert "--chunk" in message
    assert "\n" not in message
    plan_memory(SHAPES_376M, length_tokens=65536, dtype="bfloat16", chunk_tokens=2048, available_bytes=4 << 30).check("x")


def test_smaller_chunks_and_dtypes_need_less() -> None:
    whole = plan_memory(SHAPES_376M, length_tokens=65536, chunk_tokens=65536)
    chunks = plan_memory(SHAPES_376M, length_tokens=65536, chunk_tokens=2048)
    assert chunks.activations < whole.activations / 2
    assert plan_memory(SHAPES_376M, length_tokens=65536, dtype="bfloat16").total < whole.total / 2


def test_shapes_from_a_checkpoints_header_equal_those_of_the_model(golden: Path) -> None:
    for folder in ("rope", "ropepp_eh", "ropepp_ec", "alibi"):
        info = ropepp_eval.inspect_checkpoint(golden / folder)
        from_header = ModelShapes.of(info)
        from_model = shapes_of(ropepp_eval.load_checkpoint(golden / folder))
        assert dataclasses.replace(from_header, parameters=0, intermediate_size=0) == dataclasses.replace(
            from_model, parameters=0, intermediate_size=0
        )
        assert from_header.parameters == pytest.approx(from_model.parameters, rel=0.01)
        assert from_header.intermediate_size >= from_model.intermediate_size


def test_available_memory_is_told() -> None:
    free = available_memory()
    assert free is None or free > 1 << 20


def test_the_plan_is_printed_with_tokens_bytes_and_then_the_time_left() -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters())
    requests = instances("loglikelihood", ("abc" * 20, "a"), ("abc" * 20, "bb"), ("x", "y"))
    lines = lm.plan(requests).lines()
    assert "3 requests" in lines[0]
    assert "cache up to" in lines[1]
    answers = lm.answers(requests)
    next(answers)
    assert lm.work is not None
    assert lm.work.seconds_left is not None
    list(answers)
    assert lm.work.seconds_left == 0


@pytest.mark.parametrize(
    ("tokens", "context", "expected"),
    [(4096, 4096, 4096), (5000, 5000, 4096), (65536, 65536, 2048), (10, 65546, 2047), (1, 1, 1)],
)
def test_chunks_of_very_long_inputs_are_smaller_so_that_their_mask_stays_small(
    tokens: int, context: int, expected: int
) -> None:
    assert chunk_of(tokens, context, 4096, "cpu") == expected
