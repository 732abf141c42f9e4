"""Checkpoints that can't be used are refused in one line that names the file, field or tensor."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM


@pytest.fixture
def folder(tmp_path):
    """A tiny EH checkpoint in the authors' form."""
    config = RopePPConfig(position="ropepp_eh", vocab_size=11, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
                          num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)  # fmt: skip
    path = tmp_path / "checkpoint"
    RopePPForCausalLM(config).save_pretrained(path)
    return set_config(path, model_type="llama", rope_config={"imag": True, "imag_mode": "imag1"}, position=None,
                      position_settings=None, rope_parameters=None)  # fmt: skip


def set_config(path, **fields):
    config = json.loads((path / "config.json").read_text()) | fields
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return path


def set_weights(path, change):
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def refused(path, *words, **arguments):
    with pytest.raises(UserError) as error:
        inspect_checkpoint(path, **arguments)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    with pytest.raises(UserError):
        load_checkpoint(path, **arguments)


def test_the_folder_itself_is_fine(folder):
    assert inspect_checkpoint(folder).position == "ropepp_eh"


@pytest.mark.parametrize("asked", ["rope", "ropepp_ec", "nope", "fope", "alibi"])
def test_a_position_that_the_shapes_contradict(folder, asked):
    refused(folder, "q_proj.weight is [16, 32]", f"{asked} needs [32, 32]", "fit ropepp_eh", position=asked)


def test_a_config_that_the_shapes_contradict(folder):
    set_config(folder, rope_config={"imag": True, "imag_mode": "imag2"})
    refused(folder, "imag2", "q_proj.weight is [16, 32]", "ropepp_ec needs [32, 32]", "fit ropepp_eh")


def test_an_authors_mode_that_is_unknown_is_not_guessed_around(folder):
    set_config(folder, rope_config={"imag": True, "imag_mode": "imag7"})
    refused(folder, "imag7")


def test_a_config_that_contradicts_itself(folder):
    set_config(folder, use_alibi=True)
    refused(folder, "use_alibi", "imag_mode")


def test_alibi_without_its_slopes_and_fope_without_its_coefficients(folder):
    set_config(folder, rope_config=None)
    model = RopePPConfig(position="nope", vocab_size=11, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2)  # fmt: skip
    RopePPForCausalLM(model).save_pretrained(folder)
    set_config(folder, model_type="llama", position=None, position_settings=None, use_alibi=True)
    refused(folder, "model.layers.0.self_attn.alibi_slopes", "alibi")
    set_config(folder, use_alibi=None, fourier=True)
    refused(folder, "model.layers.0.self_attn.pos_emb.", "fope")


def test_a_missing_tensor(folder):
    set_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    refused(folder, "model.layers.1.mlp.up_proj.weight", "[16, 32]")


def test_a_tensor_of_another_shape_in_a_later_layer(folder):
    set_weights(folder, lambda weights: weights.update({"model.layers.1.self_attn.k_proj.weight": torch.zeros(16, 32)}))
    refused(folder, "model.layers.1.self_attn.k_proj.weight", "[16, 32]", "[8, 32]")


def test_a_tensor_that_belongs_nowhere(folder):
    set_weights(folder, lambda weights: weights.update({"model.layers.0.self_attn.q_norm.weight": torch.zeros(8)}))
    refused(folder, "model.layers.0.self_attn.q_norm.weight")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_safetensors(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(folder, "model.safetensors", "bytes")


def test_a_file_that_is_no_safetensors(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"oops")
    refused(folder, "model.safetensors", "header")


def test_pickles_alone(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin", "any code")


def test_an_empty_folder_and_one_without_config(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty folder")
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text("{")
    refused(folder, "config.json", "JSON")


def test_a_folder_that_is_not_there(tmp_path):
    refused(tmp_path / "absent", "absent", "no folder")


def test_a_file_instead_of_a_folder(folder):
    refused(folder / "config.json", "is a file")


def test_another_model_type(folder):
    set_config(folder, model_type="gpt9")
    refused(folder, "'gpt9'", "llama")


def test_an_index_whose_shard_is_missing(folder):
    index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors", "x": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "model-00002-of-00002.safetensors")


def test_an_index_that_points_outside(folder):
    index = {"weight_map": {"lm_head.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "outside its folder")


def test_shards_are_read_together(folder):
    whole, weights = inspect_checkpoint(folder), load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard, metadata={"format": "pt"})
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert inspect_checkpoint(folder).parameters == whole.parameters
    assert load_checkpoint(folder).num_parameters() == whole.parameters


@pytest.mark.parametrize(("asked", "word"), [
    ("ropepp_he", "did you mean ropepp_e"), ("ropepp_eh+pi0.5", "below 1"), ("ropepp_eh+ntk8", "yarn32"),
    ("alibi+pi8", "pi8"),
])  # fmt: skip
def test_positions_that_cannot_be_asked_for(folder, asked, word):
    refused(folder, word, position=asked)


@pytest.mark.parametrize(("fields", "word"), [
    ({"num_attention_heads": 5}, "num_attention_heads is 5"),
    ({"hidden_size": "many"}, "hidden_size"),
    ({"rope_config": {"imag": True, "imag_mode": "imag1", "factor": 0.5, "yarn": True}}, "factor 0.5"),
    ({"rope_config": {"imag": True, "imag_mode": "imag1", "yarn": True}}, "no factor"),
    ({"rope_config": {"imag": True, "imag_mode": "imag1", "factor": 8},
      "rope_scaling": {"type": "linear", "factor": 2}}, "rope_config"),
    ({"rms_norm_eps": "small"}, "rms_norm_eps"),
])  # fmt: skip
def test_fields_that_cannot_be(folder, fields, word):
    refused(set_config(folder, **fields), word)
