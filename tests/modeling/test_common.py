"""What transformers asks of every causal LM class, for every position embedding.

Masks, caches, beams, static caches, padding, packing, compiling and gradient checkpointing are in `test_properties.py`; a saved model, offload and
weights that are absent there and in `test_transformers_road.py`. Of transformers' common tests these have no counterpart here, since the classes
have no such thing: encoder outputs, cross attention, head pruning, classification heads, sliding windows, tensor-parallel plans, quantisation.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.modeling.conftest import build

LIMIT = 1e-4


@torch.no_grad()
def logits(model, tokens, **kwargs):
    return model(tokens, **kwargs).logits


@pytest.fixture
def greedy(tokens):
    return {"attention_mask": torch.ones_like(tokens), "max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}


@pytest.mark.parametrize("helper", ["same", "other", "lookup"])
def test_assisted_generation_gives_the_greedy_tokens(tiny, position, tokens, helper):
    model, assistant = tiny(position, "sdpa"), {"same": position, "other": "rope"}.get(helper)
    row = torch.cat([tokens[:1], tokens[:1]], dim=1)  # a text that repeats itself, so that there is something to look up
    arguments = {"attention_mask": torch.ones_like(row), "max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    help_of = {"prompt_lookup_num_tokens": 3} if assistant is None else {"assistant_model": tiny(assistant, "sdpa")}
    assert torch.equal(model.generate(row, **help_of, **arguments), model.generate(row, **arguments))


@pytest.mark.parametrize("size", [61 + 9, 61 - 11])
def test_resized_embeddings_keep_the_logits_of_the_tokens_that_stay(tiny, position, size):
    model = tiny(position)
    kept = torch.randint(3, 50, (1, 12), generator=torch.Generator().manual_seed(5))
    before = logits(model, kept)
    model.resize_token_embeddings(size)
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] == size
    after = logits(model, kept)
    assert after.shape[-1] == size
    shared = min(size, 61)
    assert torch.equal(after[..., :shared], before[..., :shared])
    model(kept, labels=kept).loss.backward()


def test_a_tied_head_stays_tied_when_resized_and_saved(position, tmp_path):
    model = build(position, tie_word_embeddings=True)
    model.resize_token_embeddings(70)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)


def test_embeddings_given_in_place_of_tokens_give_the_same(tiny, position, tokens, greedy):
    model = tiny(position)
    embedded = model.get_input_embeddings()(tokens)
    with torch.no_grad():
        assert torch.equal(model(inputs_embeds=embedded).logits, logits(model, tokens))
    made = model.generate(inputs_embeds=embedded, **greedy)
    assert torch.equal(made, model.generate(tokens, **greedy)[:, tokens.shape[1] :])


def test_the_loss_is_the_shifted_cross_entropy(tiny, position, tokens):
    model, labels = tiny(position), tokens.clone()
    labels[:, :5] = -100  # not scored
    with torch.no_grad():
        found = model(tokens, labels=labels)
    wanted = functional.cross_entropy(found.logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
    assert found.loss.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("kept", [1, 5])
def test_only_the_last_logits_are_those_of_all(tiny, position, tokens, kept):
    model = tiny(position)
    found = logits(model, tokens, logits_to_keep=kept)
    assert found.shape[1] == kept
    assert (found - logits(model, tokens)[:, -kept:]).abs().max() < LIMIT


def test_hidden_states_are_one_a_layer_and_the_embeddings(tiny, position, tokens):
    model = tiny(position)
    with torch.no_grad():
        states = model(tokens, output_hidden_states=True).hidden_states
        last = model.lm_head(states[-1])
    assert len(states) == model.config.num_hidden_layers + 1
    assert torch.equal(states[0], model.get_input_embeddings()(tokens))
    assert torch.equal(last, logits(model, tokens))


def test_a_tuple_holds_what_the_named_output_holds(tiny, position, tokens):
    model = tiny(position)
    with torch.no_grad():
        named, plain = model(tokens, use_cache=False), model(tokens, use_cache=False, return_dict=False)
    assert isinstance(plain, tuple)
    assert torch.equal(plain[0], named.logits)


def test_every_parameter_gets_a_gradient(tiny, position, tokens):
    model = tiny(position).train()
    model(tokens, labels=tokens, use_cache=False).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not without
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_generation_goes_on_from_its_own_cache(tiny, position, tokens, greedy):
    model = tiny(position, "sdpa")
    begun = model.generate(tokens, return_dict_in_generate=True, **{**greedy, "max_new_tokens": 4, "min_new_tokens": 4})
    rest = {**greedy, "attention_mask": torch.ones_like(begun.sequences), "max_new_tokens": 4, "min_new_tokens": 4}
    again = model.generate(begun.sequences, past_key_values=begun.past_key_values, **rest)
    assert torch.equal(again, model.generate(tokens, **greedy))


def test_sampling_follows_its_seed(tiny, position, tokens, greedy):
    model, made = tiny(position), []
    for _ in range(2):
        torch.manual_seed(11)
        made.append(model.generate(tokens, **{**greedy, "do_sample": True, "num_return_sequences": 2}))
    assert torch.equal(made[0], made[1])
    assert made[0].shape == (4, tokens.shape[1] + 8)


@pytest.mark.parametrize("size", ["40KB", "1GB"])
def test_shards_give_what_one_file_gives(tiny, position, tokens, tmp_path, size):
    model = tiny(position)
    model.save_pretrained(tmp_path, max_shard_size=size)
    assert (tmp_path / "model.safetensors").exists() == (size == "1GB")
    again = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert torch.equal(logits(again, tokens), logits(model, tokens))


def test_one_seed_initialises_one_model(position):
    first, second = (build(position).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.isfinite().all() for value in first.values())
