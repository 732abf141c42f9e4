"""Every golden checkpoint gives the numbers of the public code, whatever the attention kernel."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor
from transformers import DynamicCache

from ropepp_eval import load_checkpoint

FOLDERS = [
    "rope", "rope_theta500k", "rope_pi8", "rope_yarn32", "rope__no_rope_config",
    "ropepp_eh", "ropepp_eh_theta500k", "ropepp_eh_pi8", "ropepp_eh_yarn32", "ropepp_eh_mha", "ropepp_eh__no_rope_config",
    "ropepp_ec", "ropepp_ec_theta500k", "ropepp_ec_pi8", "ropepp_ec_yarn32", "ropepp_ec_mha", "ropepp_ec__no_rope_config",
    "ropepp_ec_mask0", "fope", "pythia", "alibi", "alibi_12h",
]  # fmt: skip
KERNELS = ["eager", "sdpa"]
LOGIT_LIMIT = 1e-4


@functools.cache
def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder.parent / folder.name.removesuffix("__no_rope_config") / "golden.safetensors")


@functools.cache  # tests go through all of them once a function
def model_of(folder: Path, kernel: str) -> torch.nn.Module:
    return load_checkpoint(folder, dtype="float32", attention=kernel)


@pytest.fixture(params=FOLDERS)
def arrays(request: pytest.FixtureRequest, golden: Path) -> dict[str, np.ndarray]:
    return arrays_of(golden / request.param)


@pytest.fixture(params=KERNELS)
def model(request: pytest.FixtureRequest, golden: Path) -> torch.nn.Module:
    folder = request.node.callspec.params["arrays"]
    return model_of(golden / folder, request.param)


def ids(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))[None]


def logits_of(model: torch.nn.Module, tokens: Tensor, **kwargs: object) -> np.ndarray:
    with torch.no_grad():
        return model(tokens, **kwargs).logits[0].numpy()


def log_likelihoods(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    logprobs = torch.log_softmax(torch.from_numpy(logits), dim=-1)
    return logprobs[torch.arange(len(targets)), torch.from_numpy(targets.astype(np.int64))].numpy()


@pytest.mark.parametrize(("name", "logits", "last"), [
    ("ids_7", "logits_7", 0), ("ids_64", "logits_64", 0), ("ids_300", "logits_300_last32", 32),
])  # fmt: skip
def test_logits_agree_with_the_public_code(model, arrays, name, logits, last):
    found = logits_of(model, ids(arrays[name]), logits_to_keep=last)
    assert np.abs(found - arrays[logits]).max() < LOGIT_LIMIT


def test_logits_after_5000_tokens_agree(model, arrays, request):
    """Eager holds the scores of all heads several times, 5,000 by 5,000 each: it reads one checkpoint's in one go, the others' in pieces so
    small that their memory is used again: the system clears what it gives anew, which took most of the time with pieces of 500."""
    whole = model.config._attn_implementation == "sdpa" or request.node.callspec.params["arrays"] == "rope"
    cache = None if whole else DynamicCache(config=model.config)
    for piece in ids(arrays["ids_5000"]).split(5000 if whole else 100, dim=1):
        found = logits_of(model, piece, logits_to_keep=8, past_key_values=cache)
    assert np.abs(found - arrays["logits_5000_last8"]).max() < LOGIT_LIMIT


@pytest.mark.parametrize("length", [7, 64])
def test_greedy_decoding_with_the_cache_gives_the_same_tokens(model, arrays, length):
    prompt = ids(arrays[f"ids_{length}"])
    out = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, min_new_tokens=16, do_sample=False,
        pad_token_id=0, eos_token_id=64, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    assert out.past_key_values is not None, "decoded without a cache"
    assert out.sequences[0, length:].tolist() == arrays[f"greedy_{length}"].tolist()
    if length == 64:
        assert np.abs(torch.cat(out.logits).numpy() - arrays["greedy_64_logits"]).max() < LOGIT_LIMIT
        if "cache_key_shape" in arrays:
            layer = out.past_key_values.layers[0]
            assert list(layer.keys.shape) == arrays["cache_key_shape"].tolist()
            assert list(layer.values.shape) == arrays["cache_value_shape"].tolist()


def test_log_likelihood_of_a_continuation_agrees(model, arrays):
    tokens = arrays["ids_64"]
    found = log_likelihoods(logits_of(model, ids(tokens))[58:63], tokens[59:64])
    assert np.abs(found - arrays["cont_token_ll"]).max() < LOGIT_LIMIT
    assert abs(found.sum() - arrays["cont_ll_sum"]) < 5 * LOGIT_LIMIT


def test_sliding_window_perplexity_agrees(model, arrays):
    tokens, end_of_text = arrays["ppl_ids"], 63
    stride, divisor = int(arrays["ppl_stride"]), int(arrays["ppl_divisor"])
    losses, scored = [], np.full(len(tokens), np.nan)
    for row, (begin, end) in enumerate(arrays["ppl_begin_end"]):
        window = tokens[begin:end]
        found = -log_likelihoods(logits_of(model, ids(window))[:-1], window[1:])
        positions = np.arange(begin + 1, end)[-stride:]
        found = found[-len(positions) :]
        expected = dict(zip(arrays["ppl_window_token_pos"][row], arrays["ppl_window_token_nll"][row], strict=True))
        assert np.abs(found - [expected[position] for position in positions]).max() < LOGIT_LIMIT
        first = np.isnan(scored[positions])
        scored[positions[first]] = found[first]
        losses.append(found[tokens[positions] != end_of_text].mean())
    assert np.abs(np.array(losses) - arrays["ppl_window_loss"]).max() < LOGIT_LIMIT
    value = np.exp(np.float32(np.sum(np.array(losses, dtype=np.float32) * stride)) / divisor)
    assert value == pytest.approx(float(arrays["ppl_value"]), rel=1e-5)
    assert np.nanmax(np.abs(scored - arrays["nll_per_token"])) < LOGIT_LIMIT
    assert np.isnan(scored).sum() == np.isnan(arrays["nll_per_token"]).sum()


def test_layer_0_queries_and_keys_enter_attention_as_published(model, arrays, monkeypatch):
    if "l0_q_post" not in arrays:
        pytest.skip("this folder holds no layer-0 arrays")
    seen = []
    attention = model.model.layers[0].self_attn
    encode = type(attention.position).encode

    def record(self, query, key, *rest):
        after = encode(self, query, key, *rest)
        seen.append((query, key, *after))
        return after

    monkeypatch.setattr(type(attention.position), "encode", record)
    logits_of(model, ids(arrays["rot_ids"]))
    for found, name in zip(seen[0], ("l0_q_pre", "l0_k_pre", "l0_q_post", "l0_k_post"), strict=True):
        assert np.abs(found[0].numpy() - arrays[name]).max() < 2e-5, name


def test_position_tables_are_those_of_the_public_code_bit_for_bit(model, arrays):
    if "rope_pos" not in arrays:
        pytest.skip("this folder holds no rotary tables")
    cos, sin = model.model.rotary_emb(torch.zeros(1, dtype=torch.bfloat16), torch.from_numpy(arrays["rope_pos"])[None])
    assert np.array_equal(cos[0].numpy(), arrays["rope_cos_ref32"])
    assert np.array_equal(sin[0].numpy(), arrays["rope_sin_ref32"])
