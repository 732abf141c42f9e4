"""A bias that is no straight line, so that a distance off by a constant shows: softmax would hide it for ALiBi."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from transformers import DynamicCache

from ropepp_eval.adapters.native.cache import KeyValueStore, RaggedView
from ropepp_eval.modeling import attention as attention_module
from ropepp_eval.positions import Position, position, positions, registry

LIMIT = 1e-4


@pytest.fixture(params=["eager", "sdpa"])
def model(request, tiny, monkeypatch):
    positions()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))

    @position("curved")
    @dataclass(frozen=True, kw_only=True)
    class Curved(Position):
        def bias(self, distance, stored):
            slopes = torch.tensor([0.5, 1.0, 2.0, 4.0]).view(-1, *(1,) * distance.dim())
            return -slopes * torch.log1p(distance)

    return tiny("curved", request.param)


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(tokens, **kwargs).logits


def test_it_is_the_written_formula(model, tokens):
    with torch.no_grad():
        layer, seen = model.model.layers[0], []
        layer.self_attn.o_proj.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        hidden = layer.input_layernorm(model.model.embed_tokens(tokens))
        model(tokens)
        heads = [layer.self_attn.__getattr__(name)(hidden).view(2, 24, -1, 16).transpose(1, 2).double() for name in
                 ("q_proj", "k_proj", "v_proj")]  # fmt: skip
        query, key, value = heads[0], *(x.repeat_interleave(2, dim=1) for x in heads[1:])
        distance = torch.arange(24)[:, None] - torch.arange(24)
        slopes = torch.tensor([0.5, 1.0, 2.0, 4.0])[:, None, None]
        scores = query @ key.transpose(-1, -2) / 4 - slopes * torch.log1p(distance.clamp(min=0).double())
        wanted = scores.masked_fill(distance < 0, -torch.inf).softmax(-1) @ value
    assert (seen[0] - wanted.transpose(1, 2).reshape(2, 24, 64)).abs().max() < 1e-5


@pytest.mark.parametrize("block", [1, 7, 512])
def test_pieces_and_padding_give_the_logits_of_one_row_alone(model, tokens, block, monkeypatch):
    monkeypatch.setattr(attention_module, "BLOCK_QUERIES", block)
    rows, mask = tokens.clone(), torch.ones_like(tokens)
    rows[1, :9], mask[1, :9] = 0, 0
    cache, parts, begin = DynamicCache(config=model.config), [], 0
    for piece in rows.split([12, 1, 10, 1], dim=1):
        begin += piece.shape[1]
        parts.append(logits(model, piece, attention_mask=mask[:, :begin], past_key_values=cache))
    found = torch.cat(parts, dim=1)
    assert (found[0] - logits(model, tokens[:1])[0]).abs().max() < LIMIT
    assert (found[1, 9:] - logits(model, tokens[1:, 9:])[0]).abs().max() < LIMIT


def test_rows_of_different_lengths_in_one_buffer_give_the_logits_they_give_alone(model, tokens):
    lengths = [20, 11]
    store = KeyValueStore(layers=2, rows=2, capacity=30)
    for row, length in enumerate(lengths):
        cache = DynamicCache(config=model.config)
        logits(model, tokens[row : row + 1, :length], past_key_values=cache)
        for number, layer in enumerate(cache.layers):
            keys, values = store.buffers(number, layer.keys, layer.values)
            keys[row, :, :length], values[row, :, :length] = layer.keys[0], layer.values[0]
    view = RaggedView(store, lengths, "cpu")
    mask = view.mask()[:, None, None]
    if model.config._attn_implementation == "eager":
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    new = torch.stack([tokens[row, length] for row, length in enumerate(lengths)])[:, None]
    found = logits(model, new, past_key_values=view, attention_mask=mask, position_ids=torch.tensor(lengths)[:, None])
    for row, length in enumerate(lengths):
        alone = logits(model, tokens[row : row + 1, : length + 1])[0, -1]
        assert (found[row, -1] - alone).abs().max() < LIMIT
