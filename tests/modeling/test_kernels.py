"""Kernels that are not always installed or are slow to build: flex attention, flash attention, names of the user's own."""

from __future__ import annotations

import sys
import types
import warnings

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ropepp_eval import load_checkpoint
from ropepp_eval.checkpoints.loading import check_attention
from ropepp_eval.errors import UserError
from ropepp_eval.modeling.attention import _sdpa_of_groups


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(tokens, **kwargs).logits


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="torch 2.13's flex attention for the CPU gives a wrong first position in some runs, with the same code and input; needs a GPU",
)
@pytest.mark.parametrize("position", ["ropepp_ec", "alibi"])
def test_flex_attention_gives_the_sdpa_logits_with_padding(tiny, tokens, position):
    torch.compiler.reset()
    model, reference = tiny(position, "flex_attention").cuda(), tiny(position, "sdpa").cuda()
    tokens = tokens.cuda()
    mask = torch.ones_like(tokens)
    mask[1, :7] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        found, wanted = (logits(m, tokens, attention_mask=mask) for m in (model, reference))
    assert (found[0] - wanted[0]).abs().max() < 1e-4
    assert (found[1, 7:] - wanted[1, 7:]).abs().max() < 1e-4


def flash_attention_stand_in(q, k, v, dropout_p, softmax_scale, causal, alibi_slopes):
    """flash-attn's documented convention: [B, T, H, D], bias -slope |i + Lk - Lq - j|, bottom-right causal mask."""
    groups, new, every = q.shape[2] // k.shape[2], q.shape[1], k.shape[1]
    assert causal
    assert dropout_p == 0
    assert alibi_slopes.dtype == torch.float32
    k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
    distance = torch.arange(new)[:, None] + every - new - torch.arange(every)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) * softmax_scale - alibi_slopes[:, None, None] * distance.abs()
    return torch.einsum("bhij,bjhd->bihd", scores.masked_fill(distance < 0, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("pads", [0, 7])
def test_flash_attention_with_slopes_gives_the_sdpa_logits(tiny, tokens, pads, monkeypatch):
    module = types.ModuleType("flash_attn")
    module.flash_attn_func = flash_attention_stand_in
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    model, reference = tiny("alibi", "sdpa"), tiny("alibi", "sdpa")
    model.config._attn_implementation_internal = "flash_attention_2"  # the setter asks for the real package
    mask = torch.ones_like(tokens)
    mask[1, :pads] = 0
    caches = [DynamicCache(config=m.config) for m in (model, reference)]
    for piece in (slice(0, 20), slice(20, 21), slice(21, 24)):
        found, wanted = (
            logits(m, tokens[:, piece], attention_mask=mask[:, : piece.stop], past_key_values=cache)
            for m, cache in zip((model, reference), caches, strict=True)
        )
        first = pads if piece.start == 0 else 0
        assert (found[0] - wanted[0]).abs().max() < 1e-4
        assert (found[1, first:] - wanted[1, first:]).abs().max() < 1e-4


def test_a_custom_kernel_without_a_mask_function_is_refused():
    AttentionInterface.register("test_maskless", sdpa_attention_forward)
    with pytest.raises(UserError, match=r"test_maskless.*later tokens.*AttentionMaskInterface"):
        check_attention("test_maskless", "cpu")
    AttentionMaskInterface.register("test_maskless", sdpa_mask)
    check_attention("test_maskless", "cpu")


def test_an_unknown_kernel_is_refused_with_near_matches():
    with pytest.raises(UserError, match="did you mean flash_attention_2"):
        check_attention("flash_attention2", "cpu")


def test_a_bias_is_refused_by_a_kernel_that_cannot_add_it(tiny, tokens):
    AttentionInterface.register("test_biasless", sdpa_attention_forward)
    AttentionMaskInterface.register("test_biasless", sdpa_mask)
    assert (logits(tiny("rope", "test_biasless"), tokens) - logits(tiny("rope", "sdpa"), tokens)).abs().max() < 1e-5
    with pytest.raises(UserError, match=r"test_biasless.*alibi"):
        logits(tiny("alibi", "test_biasless"), tokens)


def test_loading_refuses_a_kernel_that_cannot_add_the_bias(golden):
    AttentionInterface.register("test_biasless", sdpa_attention_forward)
    AttentionMaskInterface.register("test_biasless", sdpa_mask)
    load_checkpoint(golden / "rope", attention="test_biasless")
    with pytest.raises(UserError, match=r"test_biasless.*alibi"):
        load_checkpoint(golden / "alibi", attention="test_biasless")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_flex_attention_is_refused_on_a_cpu(golden, device):
    with pytest.raises(UserError, match=r"'flex_attention' is not used on a CPU.*use --attention sdpa"):
        load_checkpoint(golden / "rope", attention="flex_attention", device=device)


@pytest.mark.parametrize("mask", ["none", "rows", "heads", "all"])
@pytest.mark.parametrize(("heads", "shared"), [(8, 2), (6, 1), (4, 4)])
@pytest.mark.parametrize("queries", [1, 3])
def test_heads_that_share_keys_attend_as_if_each_had_its_own(heads, shared, queries, mask):
    torch.manual_seed(0)
    query, store = torch.randn(2, queries, heads, 32).transpose(1, 2), torch.randn(2, 3, shared, 50, 32)
    key, value = (rows[:2, :, :40] for rows in store)  # as views of a cache with room for more
    shapes = {"rows": (2, 1, queries, 40), "heads": (1, heads, queries, 40), "all": (2, heads, queries, 40)}
    bias = torch.randn(shapes[mask]) if mask != "none" else None
    given = bias > -1.5 if mask == "rows" else bias
    found = _sdpa_of_groups(query, key, value, given, dropout=0.0, scaling=0.2, is_causal=True)
    scores = 0.2 * query @ key.repeat_interleave(heads // shared, dim=1).mT
    if given is not None:
        scores = scores.masked_fill(~given, -torch.inf) if mask == "rows" else scores + given
    expected = scores.softmax(-1) @ value.repeat_interleave(heads // shared, dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
