"""What must hold for every position embedding and attention kernel, on tiny random models."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache, StaticCache

import ropepp_eval
from ropepp_eval.modeling import attention as attention_module

LIMIT = 1e-4  # float32 rounding; cached against uncached of the public code itself differs by 5e-5
kernels = pytest.mark.parametrize("kernel", ["eager", "sdpa"])


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(tokens, **kwargs).logits


def padded(tokens, pads):
    """Rows of tokens shifted right by their number of pads, and the mask."""
    width = tokens.shape[1] + max(pads)
    rows, mask = torch.zeros(len(pads), width, dtype=torch.long), torch.zeros(len(pads), width, dtype=torch.long)
    for index, _ in enumerate(pads):
        rows[index, -tokens.shape[1] :], mask[index, -tokens.shape[1] :] = tokens[index], 1
    return rows, mask


@kernels
def test_a_later_token_changes_no_earlier_logit(tiny, position, tokens, kernel):
    model, changed = tiny(position, kernel), tokens.clone()
    changed[:, 15:] = (changed[:, 15:] + 1) % 50 + 3
    assert (logits(model, tokens)[:, :15] - logits(model, changed)[:, :15]).abs().max() <= LIMIT
    assert (logits(model, tokens)[:, 15:] - logits(model, changed)[:, 15:]).abs().max() > 1e-2


@kernels
def test_a_later_token_changes_no_earlier_logit_behind_a_cache_and_padding(tiny, position, tokens, kernel):
    model, (rows, mask) = tiny(position, kernel), padded(tokens, [3, 3])
    changed = rows.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 50 + 3
    found = []
    for version in (rows, changed):
        cache = DynamicCache(config=model.config)
        logits(model, version[:, :10], attention_mask=mask[:, :10], past_key_values=cache)
        found.append(logits(model, version[:, 10:], attention_mask=mask, past_key_values=cache))
    assert (found[0][:, :10] - found[1][:, :10]).abs().max() <= LIMIT
    assert (found[0][:, 10:] - found[1][:, 10:]).abs().max() > 1e-2


@kernels
@pytest.mark.parametrize("pieces", [[24], [23, 1], [5, 7, 12], [1] * 24])
def test_a_cache_filled_in_pieces_gives_the_logits_of_one_pass(tiny, position, tokens, kernel, pieces):
    model = tiny(position, kernel)
    cache, parts = DynamicCache(config=model.config), []
    for piece in tokens.split(pieces, dim=1):
        parts.append(logits(model, piece, past_key_values=cache))
    assert (torch.cat(parts, dim=1) - logits(model, tokens)).abs().max() < LIMIT


@kernels
def test_a_static_cache_gives_the_logits_of_one_pass(tiny, position, tokens, kernel):
    model = tiny(position, kernel)
    cache, parts = StaticCache(config=model.config, max_cache_len=40), []
    for piece in tokens.split([16, 1, 6, 1], dim=1):
        parts.append(logits(model, piece, past_key_values=cache))
    assert (torch.cat(parts, dim=1) - logits(model, tokens)).abs().max() < LIMIT


@kernels
@pytest.mark.parametrize("shift", [3, 11])
def test_a_left_padded_row_gives_the_logits_it_gives_alone(tiny, position, tokens, kernel, shift):
    model = tiny(position, kernel)
    short = tokens[1:, shift:]
    rows, mask = tokens.clone(), torch.ones_like(tokens)
    rows[1, :shift], mask[1, :shift] = 0, 0
    found = logits(model, rows, attention_mask=mask)
    assert (found[0] - logits(model, tokens[:1])[0]).abs().max() < LIMIT
    assert (found[1, shift:] - logits(model, short)[0]).abs().max() < LIMIT


@kernels
def test_a_left_padded_batch_generates_what_each_row_generates_alone(tiny, position, tokens, kernel):
    model = tiny(position, kernel)
    rows, mask = tokens.clone(), torch.ones_like(tokens)
    rows[1, :9], mask[1, :9] = 0, 0
    together = model.generate(rows, attention_mask=mask, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    for row, shift in ((0, 0), (1, 9)):
        prompt = tokens[row : row + 1, shift:]
        alone = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, min_new_tokens=8, do_sample=False
        )
        assert together[row, 24:].tolist() == alone[0, 24 - shift :].tolist()


def test_packed_rows_give_the_logits_they_give_alone(tiny, position, tokens):
    model = tiny(position, "sdpa")
    packed = torch.cat((tokens[0], tokens[1]))[None]
    places = torch.arange(24).repeat(2)[None]
    found = logits(model, packed, position_ids=places, use_cache=False)
    assert (found[0, 24:] - logits(model, tokens[1:])[0]).abs().max() < LIMIT


def test_given_position_ids_are_honoured(tiny, tokens):
    model = tiny("rope", "sdpa")
    spread = torch.arange(24)[None] * 2
    assert (logits(model, tokens, position_ids=spread) - logits(model, tokens)).abs().max() > 1e-2
    shifted = logits(model, tokens, position_ids=torch.arange(24)[None] + 1000)
    assert (shifted - logits(model, tokens)).abs().max() < 1e-3  # rotary scores are relative


def test_eager_and_sdpa_agree(tiny, position, tokens):
    assert (logits(tiny(position, "eager"), tokens) - logits(tiny(position, "sdpa"), tokens)).abs().max() < LIMIT


@pytest.mark.parametrize("block", [1, 5, 8, 24, 512])
def test_biased_blocks_of_any_size_give_the_eager_result(tiny, tokens, block, monkeypatch):
    monkeypatch.setattr(attention_module, "BLOCK_QUERIES", block)
    model, reference = tiny("alibi", "sdpa"), tiny("alibi", "eager")
    assert (logits(model, tokens) - logits(reference, tokens)).abs().max() < LIMIT
    mask = torch.ones_like(tokens)
    mask[1, :7] = 0
    found, wanted = (logits(m, tokens, attention_mask=mask) for m in (model, reference))
    assert (found[0] - wanted[0]).abs().max() < LIMIT
    assert (found[1, 7:] - wanted[1, 7:]).abs().max() < LIMIT


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_beam_search_with_the_cache_gives_the_beams_found_without(tiny, position, tokens, kernel):
    model = tiny(position, kernel)
    arguments = {"attention_mask": torch.ones_like(tokens), "num_beams": 3, "max_new_tokens": 6, "do_sample": False}
    assert torch.equal(model.generate(tokens, **arguments), model.generate(tokens, use_cache=False, **arguments))


def test_generating_with_a_static_cache_gives_the_tokens_of_a_dynamic_one(tiny, position, tokens):
    model = tiny(position, "sdpa")
    arguments = {"attention_mask": torch.ones_like(tokens), "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    static = model.generate(tokens, cache_implementation="static", disable_compile=True, **arguments)
    assert torch.equal(static, model.generate(tokens, **arguments))


def test_eager_returns_weights_of_every_attention_head(tiny, position, tokens):
    model = tiny(position, "eager")
    with torch.no_grad():
        weights = model(tokens, output_attentions=True).attentions
    assert len(weights) == 2
    assert weights[0].shape == (2, model.config.heads.attention, 24, 24)
    assert torch.allclose(weights[0].sum(-1), torch.ones(()), atol=1e-5)
    assert (weights[0].triu(1) == 0).all()
    assert len(model.config.head_roles) == model.config.heads.attention


def test_a_saved_model_comes_back_the_same_through_the_auto_classes(tiny, position, tokens, tmp_path):
    ropepp_eval.register()
    model = tiny(position, "sdpa")
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is type(model)
    assert again.config.position_embedding == model.config.position_embedding
    assert torch.equal(logits(again.eval(), tokens), logits(model, tokens))
    assert torch.equal(logits(ropepp_eval.load_checkpoint(tmp_path), tokens), logits(model, tokens))


@pytest.mark.filterwarnings("ignore:.*offloaded.*")
def test_a_device_map_changes_no_logit(tiny, position, tokens, tmp_path):
    model = tiny(position, "eager")
    model.save_pretrained(tmp_path / "model")
    *earlier, last = (f"model.layers.{index}" for index in range(model.config.num_hidden_layers))
    parts = ["model.embed_tokens", "model.rotary_emb", *earlier, "model.norm", "lm_head"]
    device_map = {**dict.fromkeys(parts, "cpu"), last: "disk"}
    spread = type(model).from_pretrained(
        tmp_path / "model", device_map=device_map, offload_folder=tmp_path / "offload", attn_implementation="eager"
    )
    assert spread.hf_device_map[last] == "disk"
    assert torch.equal(logits(spread, tokens), logits(model, tokens))


@pytest.mark.parametrize(("position", "share"), [("ropepp_eh", 0.5), ("ropepp_ec", 1.0), ("fope", 1.0), ("alibi", 1.0)])
def test_cache_bytes_against_rope(tiny, tokens, position, share):
    def cache_bytes(model):
        cache = DynamicCache(config=model.config)
        logits(model, tokens, past_key_values=cache)
        return sum(x.nbytes for layer in cache.layers for x in (layer.keys, layer.values))

    assert cache_bytes(tiny(position)) == share * cache_bytes(tiny("rope"))


@pytest.mark.parametrize("neutral", ["rope+pi1", "rope+yarn1", "partial", "noise"])
def test_neutral_settings_equal_rope_bit_for_bit(tiny, tokens, neutral):
    plain, parameters = tiny("rope", "sdpa"), {"rope_theta": 10000.0, "rope_type": "default"}
    if neutral == "partial":
        model = tiny("partial", "sdpa", rope_parameters={**parameters, "partial_rotary_factor": 1.0})
    elif neutral == "noise":
        model = tiny("rope", "sdpa", noise_std=0.0, noise_target="real", noise_seed=5)
    else:
        model = tiny(neutral, "sdpa")
    model.load_state_dict(plain.state_dict())
    assert torch.equal(logits(model, tokens), logits(plain, tokens))


@pytest.mark.parametrize("cast", [torch.float16, torch.bfloat16])
def test_casting_a_model_leaves_its_position_tables_exact(tiny, position, cast):
    places = torch.tensor([[4095, 65535]])
    model = tiny(position)
    exact = [t.clone() for t in model.model.rotary_emb(torch.zeros(1), places)]
    stored = {name: t.clone() for name, t in model.model.layers[0].self_attn.stored_tensors().items()}
    model = model.to(cast)
    tables = model.model.rotary_emb(torch.zeros(1, dtype=cast), places)
    assert model.model.layers[0].self_attn.q_proj.weight.dtype == cast
    assert all(torch.equal(found, wanted) for found, wanted in zip(tables, exact, strict=True))
    for name, tensor in model.model.layers[0].self_attn.stored_tensors().items():
        assert torch.equal(tensor, stored[name]), name


@kernels
def test_the_last_row_at_65537_is_finite_in_bfloat16(tiny, position, kernel):
    model = tiny(position, kernel).to(torch.bfloat16)
    cache, heads = DynamicCache(config=model.config), model.config.heads
    for layer in range(2):
        past = torch.randn(2, 1, heads.key_value, 65536, 16, generator=torch.Generator().manual_seed(layer))
        cache.update(*past.to(torch.bfloat16), layer)
    assert logits(model, torch.tensor([[5]]), past_key_values=cache).isfinite().all()


@kernels
def test_training_lowers_the_loss_with_gradient_checkpointing(tiny, position, tokens, kernel):
    losses = []
    for checkpointing in (False, True):
        model = tiny(position, kernel).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(4):
            loss = model(tokens, labels=tokens, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[3] < losses[0]
    assert losses[4:] == pytest.approx(losses[:4], rel=1e-5)


def test_the_forward_compiles_in_one_graph(tiny, position, tokens):
    model = tiny(position, "sdpa")
    torch.compiler.reset()
    compiled = torch.compile(model.model, backend="eager", fullgraph=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        found = compiled(tokens, use_cache=False).last_hidden_state
        assert (found - model.model(tokens, use_cache=False).last_hidden_state).abs().max() < LIMIT


@pytest.mark.parametrize("position", ["rope", "ropepp_ec", "fope", "partial", "alibi", "nope"])
def test_a_model_built_under_a_bfloat16_default_keeps_its_positions_exact(tiny, position, tokens):
    plain = tiny(position).to(torch.bfloat16)
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = tiny(position)
    finally:
        torch.set_default_dtype(torch.float32)
    for name, tensor in model.model.layers[0].self_attn.stored_tensors().items():
        assert tensor.dtype == torch.float32, name
    model.load_state_dict(plain.state_dict())
    assert torch.equal(logits(model, tokens), logits(plain, tokens))
