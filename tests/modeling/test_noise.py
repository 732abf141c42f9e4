"""Noise on encoded queries: private, seeded, on the heads asked for, and independent of how the prompt was fed."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from ropepp_eval.errors import UserError
from ropepp_eval.positions.noise import gaussian_noise


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(tokens, **kwargs).logits


def test_noise_is_standard_normal_and_uncorrelated():
    noise = gaussian_noise(torch.arange(500)[None], heads=4, head_dim=32, seed=1, layer=0)
    assert noise.shape == (1, 4, 500, 32)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert abs((noise**4).mean() - 3) < 0.15
    for other in (noise.roll(1, dims=2), noise.roll(1, dims=3), noise.roll(1, dims=1),
                  gaussian_noise(torch.arange(500)[None], 4, 32, seed=2, layer=0),
                  gaussian_noise(torch.arange(500)[None], 4, 32, seed=1, layer=1)):  # fmt: skip
        assert abs((noise * other).mean()) < 0.02


def test_noise_depends_on_the_seed_and_leaves_the_global_stream_alone(tiny, tokens):
    model = tiny("ropepp_ec", "sdpa")
    plain, state = logits(model, tokens), torch.get_rng_state()
    model.config.set_noise(0.5, "both", seed=1)
    one = logits(model, tokens)
    assert torch.equal(one, logits(model, tokens))
    model.config.set_noise(0.5, "both", seed=2)
    two = logits(model, tokens)
    assert torch.equal(torch.get_rng_state(), state)
    assert (one - two).abs().max() > 1e-2
    assert (one - plain).abs().max() > 1e-2
    model.config.set_noise(0)
    assert torch.equal(logits(model, tokens), plain)


@pytest.mark.parametrize("target", ["real", "imaginary"])
def test_noise_reaches_only_the_heads_of_its_role(tiny, tokens, target):
    model, quiet = tiny("ropepp_eh", "eager"), tiny("ropepp_eh", "eager")
    model.config.set_noise(0.5, target)
    with torch.no_grad():
        noisy, plain = (m(tokens, output_attentions=True).attentions[0] for m in (model, quiet))
    for head, role in enumerate(model.config.head_roles):
        assert torch.equal(noisy[:, head], plain[:, head]) == (role != target)


def test_noise_is_the_same_with_a_cache_and_with_padding(tiny, tokens):
    model = tiny("ropepp_ec", "sdpa", noise_std=0.5, noise_target="imaginary")
    cache = DynamicCache(config=model.config)
    whole = logits(model, tokens)
    parts = [logits(model, piece, past_key_values=cache) for piece in tokens.split([20, 1, 3], dim=1)]
    assert (torch.cat(parts, dim=1) - whole).abs().max() < 1e-4
    rows, mask = tokens.clone(), torch.ones_like(tokens)
    rows[1, :5], mask[1, :5] = 0, 0
    alone = logits(model, tokens[1:, 5:])
    assert (logits(model, rows, attention_mask=mask)[1, 5:] - alone[0]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("std", "target", "word"), [(-1.0, "both", "-1.0"), (0.5, "imag", "imag"), (float("nan"), "both", "nan")]
)
def test_impossible_noise_is_refused(tiny, std, target, word):
    with pytest.raises(UserError, match=word):
        tiny("rope").config.set_noise(std, target)
