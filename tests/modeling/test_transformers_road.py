"""The plain transformers road: a checkpoint that lacks what a position stores, and masks with four axes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import ropepp_eval
from ropepp_eval.positions.alibi import alibi_slopes

LIMIT = 1e-4


def without_stored(model, folder, part=""):
    """The model's folder without the tensors that its position stores, or those whose names hold `part`."""
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    names = tuple(model.config.stored_names)
    kept = {name: tensor for name, tensor in load_file(file).items() if not (name.endswith(names) and part in name)}
    save_file(kept, file, metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:.*newly initialized.*")
def test_absent_slopes_are_the_formula_s(tiny, tmp_path, dtype):
    ropepp_eval.register()
    without_stored(tiny("alibi"), tmp_path)
    for _ in range(3):  # raw memory is sometimes right by chance
        model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
        for layer in model.model.layers:
            slopes = layer.self_attn.alibi_slopes
            assert slopes.dtype == torch.float32
            assert slopes.tolist() == pytest.approx(alibi_slopes(4), abs=0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_absent_fourier_coefficients_are_those_of_a_new_model(tiny, tmp_path, dtype):
    ropepp_eval.register()
    original = tiny("fope")
    without_stored(original, tmp_path, part="sin_coef")
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    for layer, kept in zip(model.model.layers, original.model.layers, strict=True):
        found, wanted = layer.self_attn.pos_emb, kept.self_attn.pos_emb
        assert torch.equal(found.cos_coef, wanted.cos_coef), "what was there is loaded"
        assert found.sin_coef.dtype == torch.float32
        noise = found.sin_coef - torch.eye(*found.sin_coef.shape[1:])
        expected = 0.3 * (2 / sum(found.sin_coef.shape[1:])) ** 0.5
        assert noise.std().item() == pytest.approx(expected, rel=0.25)
        assert abs(noise.mean().item()) < expected / 4


def additive(mask, low):
    """A bool mask [B, 1, Q, L] as numbers to add."""
    return torch.zeros(mask.shape).masked_fill(~mask, low)


@torch.no_grad()
@pytest.mark.parametrize("low", [torch.finfo(torch.float32).min, float("-inf"), -1e9, -1e4])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_mask_of_four_axes_is_the_mask_it_means(tiny, position, tokens, kernel, low):
    model = tiny(position, kernel)
    causal = torch.ones(24, 24, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    wanted = model(tokens).logits
    assert (model(tokens, attention_mask=additive(causal, low)).logits - wanted).abs().max() < LIMIT
    causal[:, :, 12:, :12] = False  # two documents that do not see each other
    places = torch.arange(24) % 12
    found = model(tokens, attention_mask=additive(causal, low), position_ids=places[None]).logits
    assert (found[:, 12:] - model(tokens[:, 12:]).logits).abs().max() < LIMIT
    as_bool = model(tokens, attention_mask=causal, position_ids=places[None]).logits
    assert (as_bool - found).abs().max() < LIMIT


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_numbers_of_a_float_mask_are_added_to_the_scores(tiny, kernel, tokens):
    model, reference = tiny("alibi", kernel), tiny("alibi", "eager")
    mask = torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(0)).masked_fill(
        torch.ones(24, 24, dtype=torch.bool).triu(1), torch.finfo(torch.float32).min
    )
    assert (model(tokens, attention_mask=mask).logits - reference(tokens, attention_mask=mask).logits).abs().max() < LIMIT
    assert (model(tokens, attention_mask=mask).logits - model(tokens).logits).abs().max() > 1e-2
