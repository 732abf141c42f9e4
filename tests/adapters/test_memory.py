"""The memory planner, from shapes and calls alone, against what tensors really take."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ropepp_eval
from ropepp_eval.adapters.memory import available_memory, resident_memory
from ropepp_eval.adapters.model_facts import shapes_of
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView, StackView
from ropepp_eval.adapters.native.foresight import shapes_of_info
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.checkpoints.cache_layers import FullLayers, windows
from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.calls import Call, Read, Steps, chunks
from ropepp_eval.forecasts.limits import chunk_of
from ropepp_eval.forecasts.memory import activation_bytes, logit_bytes, plan_memory
from ropepp_eval.forecasts.shapes import ModelShapes
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
from tests.adapters.families import FAMILIES
from tests.adapters.toys import Letters, instances, tiny_llama

SHAPES_376M = ModelShapes(
    parameters=375_931_904,
    matrix_parameters=113_246_208,
    hidden_size=1024,
    intermediate_size=3584,
    attention_heads=8,
    head_dim=128,
    layers=8,
    vocab_size=128256,
    cache=(FullLayers(layers=8, entries_per_token=2 * 4 * 128),),
)


def in_chunks(tokens: int, chunk: int) -> list[Call]:
    return list(chunks(Read(tokens=tokens, logits=1, capacity=tokens), chunk))


def test_the_cache_of_64k_tokens_at_the_376m_shape_is_one_gib_in_bfloat16() -> None:
    plan = plan_memory(SHAPES_376M, in_chunks(65536, 2048), dtype="bfloat16")
    assert plan.cache == 1 << 30
    assert plan.weights == 2 * 375_931_904


def test_the_plan_counts_what_the_store_allocates() -> None:
    lm = NativeLM.from_objects(tiny_llama(), Letters(), max_length=4096)
    forward = lm.forward
    store = forward.new_store(3, 1000)
    forward.extend(StackView(store), lm.encoder.job(0, instances("loglikelihood_rolling", ("ab" * 400,))[0]).prompt)
    allocated = sum(buffer.nbytes for buffer in (*store.keys, *store.values) if buffer is not None)
    assert allocated == plan_memory(lm.shapes, [Steps(rows=3, context=900, steps=1, capacity=3000)]).cache


@pytest.mark.parametrize("ragged", [False, True])
def test_a_store_is_gone_with_the_last_view_of_it(ragged: bool) -> None:
    """At once, not when Python looks for circles: until then each trial and each run would keep a cache of its own."""
    lm = NativeLM.from_objects(tiny_llama(), Letters(), max_length=4096)
    ids = np.arange(8)
    store = lm.forward.new_store(1, 16)
    with torch.no_grad():
        lm.forward.extend(StackView(store), ids)
        if ragged:
            lm.forward.step(torch.tensor([1]), RaggedView(store, [8], "cpu"))
    watched = weakref.ref(store)
    gc.disable()
    try:
        del store
        assert watched() is None
    finally:
        gc.enable()


def test_the_buffers_of_all_layers_are_made_together_and_a_layer_unlike_them_gets_its_own() -> None:
    store = KeyValueStore(3, 2, 10)
    keys, values = store.buffers(0, torch.ones(1, 4, 1, 8), torch.ones(1, 4, 1, 6))
    assert (keys.shape, values.shape) == ((2, 4, 10, 8), (2, 4, 10, 6))
    assert all(buffer is not None for buffer in (*store.keys, *store.values))
    keys += 1
    other, _ = store.buffers(1, torch.ones(1, 2, 1, 8), torch.ones(1, 4, 1, 6))
    assert other.shape == (2, 2, 10, 8)
    assert store.buffers(1, torch.ones(1, 2, 1, 8), torch.ones(1, 4, 1, 6))[0] is other
    assert store.buffers(0, torch.ones(1, 4, 1, 8), torch.ones(1, 4, 1, 6))[0].sum() == keys.numel()


def test_a_cell_that_does_not_fit_is_refused_with_the_number_and_the_remedy() -> None:
    plan = plan_memory(SHAPES_376M, in_chunks(65536, 65536), dtype="float32", chunk_tokens=65536, available_bytes=4 << 30)
    assert not plan.fits
    with pytest.raises(UserError) as caught:
        plan.check("niah_single_1")
    message = str(caught.value)
    assert "niah_single_1 at 64k does not fit" in message
    assert "of 4.00 GiB" in message
    assert "--chunk" in message
    assert "\n" not in message
    small = in_chunks(65536, 2048)
    plan_memory(SHAPES_376M, small, dtype="bfloat16", chunk_tokens=2048, available_bytes=4 << 30).check("x")


def test_what_a_process_holds_already_need_not_be_free() -> None:
    plan = plan_memory(SHAPES_376M, in_chunks(2048, 2048), resident_bytes=1 << 30)
    needed = plan.total - (1 << 30)
    assert dataclasses.replace(plan, available=needed).fits
    assert not dataclasses.replace(plan, available=needed - 1).fits


def test_smaller_chunks_and_dtypes_need_less() -> None:
    whole = plan_memory(SHAPES_376M, in_chunks(65536, 65536))
    parts = plan_memory(SHAPES_376M, in_chunks(65536, 2048))
    assert parts.activations < whole.activations / 2
    assert plan_memory(SHAPES_376M, in_chunks(65536, 65536), dtype="bfloat16").total < whole.total / 1.9


def test_rows_side_by_side_are_counted() -> None:
    """A 135M model, eight rows of 2k: their cache is more than the weights."""
    lm = NativeLM.from_objects(tiny_llama(), Letters(), max_length=4096)
    requests = instances("generate_until", *[("ab" * 200, {"max_gen_toks": 5})] * 8)
    lm.plan(requests)
    calls = lm.engine.calls(lm.encoder.jobs(requests))
    assert max(call.capacity for call in calls) == 8 * 404
    alone = lm.engine.calls(lm.encoder.jobs(requests[:1]))
    assert lm.engine.memory(calls).cache == 8 * lm.engine.memory(alone).cache


class Live(TorchDispatchMode):
    """Counts the bytes of storages that live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def _gone(self, key: int, size: int) -> None:
        self.now -= size
        self.seen.discard(key)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.seen | known:
                self.seen.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return out


def counted_bytes(model: Any, shapes: ModelShapes, read: Read) -> int:
    """The most that a read holds beside weights and cache, as torch allocates it."""
    forward = Forward(model, read.tokens, [window.window_tokens for window in windows(shapes.cache)])
    store = forward.new_store(read.rows, read.context)
    with torch.no_grad():  # in inference mode composite operations hide what they allocate
        forward.extend(StackView(store), np.zeros(8, np.int32))
        ids = forward.tensor([np.zeros(read.tokens, np.int32)] * read.rows)
        with Live() as live:
            forward.hidden(ids, cache=StackView(store, rows=read.rows, length=read.past_tokens))
    return live.peak


def ours(position: str, attention: str, dtype: torch.dtype) -> Any:
    config = RopePPConfig(
        vocab_size=64, hidden_size=96, intermediate_size=256, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=4096, position=position,
    )  # fmt: skip
    config._attn_implementation = attention
    return RopePPForCausalLM(config).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("past", [0, 1536])
@pytest.mark.parametrize(
    ("position", "attention"), [("rope", "sdpa"), ("ropepp_ec", "sdpa"), ("alibi", "sdpa"), ("rope", "eager")]
)
def test_activations_are_what_torch_allocates(position: str, attention: str, past: int, dtype: torch.dtype) -> None:
    model = ours(position, attention, dtype)
    shapes, read = shapes_of(model), Read(tokens=512, past_tokens=past, masked=past > 0)
    planned = activation_bytes(shapes, read, dtype.itemsize, attention, "cpu")
    assert planned == pytest.approx(counted_bytes(model, shapes, read), rel=0.12)


@pytest.mark.parametrize(
    "family",
    [f for f in FAMILIES if f.name in ("Qwen3", "Gemma 2", "GPT-OSS", "Mistral", "GPT-NeoX")],
    ids=lambda one: one.name,
)
def test_activations_of_other_classes(family: Any) -> None:
    """transformers' classes repeat keys and values where there is a mask; Gemma 2 and GPT-OSS keep all scores."""
    from ropepp_eval.checkpoints.architectures import kernel_for

    config = family.config()
    attention = config._attn_implementation = kernel_for(config, family.kind, "sdpa")
    model = family.kind(config).eval()
    shapes, read = shapes_of(model), Read(tokens=256, past_tokens=1792, masked=True)
    planned = activation_bytes(shapes, read, 4, attention, "cpu")
    assert planned == pytest.approx(counted_bytes(model, shapes, read), rel=0.15)


def test_logits_are_a_block_at_most() -> None:
    few = logit_bytes(SHAPES_376M, Read(tokens=9, logits=1), 4, "cpu")
    assert few == 128256 * 4
    assert logit_bytes(SHAPES_376M, Read(tokens=4096, logits=4096), 4, "cpu") == (1 << 23) * 4
    assert logit_bytes(SHAPES_376M, Read(tokens=4096, logits=4096), 2, "cpu") == (1 << 23) * 6


def test_shapes_from_a_checkpoints_header_equal_those_of_the_model(golden: Path) -> None:
    for folder in ("rope", "ropepp_eh", "ropepp_ec", "alibi"):
        from_header = shapes_of_info(ropepp_eval.inspect_checkpoint(golden / folder))
        from_model = shapes_of(ropepp_eval.load_checkpoint(golden / folder))
        assert dataclasses.replace(from_header, parameters=0, intermediate_size=0) == dataclasses.replace(
            from_model, parameters=0, intermediate_size=0
        )
        assert from_header.parameters == pytest.approx(from_model.parameters, rel=0.01)
        assert from_header.intermediate_size >= from_model.intermediate_size


def test_memory_of_this_machine_and_process_is_told() -> None:
    free = available_memory()
    assert free is None or free > 1 << 20
    assert resident_memory() > 50 << 20


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
