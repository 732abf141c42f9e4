"""config.json and generation_config.json: what is on the list counts, the rest reaches nobody, and wrong values are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.checkpoints.export import export_checkpoint
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.modeling import RopePPConfig
from tests.checkpoints.folders import SHAPE, make_folder, refusal, set_json, set_weights


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("made") / "checkpoint")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(made, tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attn_implementation", "someone/a-kernel"), ("_attn_implementation", "someone/a-kernel"), ("num_labels", 10**18),
        ("id2label", {str(i): "x" for i in range(9)}), ("auto_map", {"AutoConfig": "evil.Config"}), ("per_layer_config", [{}]),
        ("transformers_weights", "other.safetensors"), ("fusion_config", {"a": True}), ("use_cache", False), ("return_dict", False),
        ("problem_type", "single_label_classification"), ("output_attentions", True), ("torch_dtype", "float16"), ("dtype", "int8"),
        ("name_or_path", "someone/else"), ("distributed_config", {"tp_size": 8}),
    ],
)  # fmt: skip
def test_a_field_that_is_not_on_the_list_changes_nothing(folder: Path, field: str, value: Any) -> None:
    wanted = read_checkpoint(folder, None).config.to_dict()
    set_json(folder / "config.json", **{field: value})
    assert read_checkpoint(folder, None).config.to_dict() == wanted
    assert load_checkpoint(folder).config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, ("quantization_config", "gptq", "not supported")),
        ({"max_position_embeddings": 0}, ("max_position_embeddings is 0", "greater than or equal to 1")),
        ({"max_position_embeddings": -4096}, ("max_position_embeddings is -4096",)),
        ({"max_position_embeddings": 64.0}, ("max_position_embeddings is 64.0; it must be a whole number",)),
        ({"max_position_embeddings": "64"}, ('max_position_embeddings is "64"; it must be a whole number',)),
        ({"max_position_embeddings": None}, ("max_position_embeddings is null",)),
        ({"max_position_embeddings": 10**18}, ("max_position_embeddings is 1000000000000000000",)),
        ({"num_hidden_layers": 4000}, ("num_hidden_layers is 4,000", "hold 2 layers")),
        ({"num_hidden_layers": True}, ("num_hidden_layers is true",)),
        ({"vocab_size": 10**15}, ("vocab_size",)),
        ({"hidden_act": "kernels/evil"}, ("hidden_act", "'silu'")),
        ({"rms_norm_eps": "1e-6"}, ('rms_norm_eps is "1e-6"; it must be a number',)),
        ({"tie_word_embeddings": "yes"}, ("tie_word_embeddings", "true or false")),
        ({"pad_token_id": "0"}, ("pad_token_id", "whole number")),
        ({"eos_token_id": [2, "3"]}, ("eos_token_id[1]",)),
        ({"position_settings": [1]}, ("position_settings is [1]; it must be a mapping",)),
        ({"model_type": "llama", "rope_config": "imag1"}, ('rope_config is "imag1"; it must be a mapping',)),
        ({"model_type": "llama", "rope_config": {"imag": 1}}, ("rope_config.imag is 1; it must be true or false",)),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, ("rope_parameters", "full_attention")),
        ({"rope_parameters": {"rope_theta": "1e4"}}, ("rope_parameters.rope_theta",)),
        ({"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"type": "linear", "factor": 4.0}}, ("rope_scaling", "keep the one")),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused_with_file_field_value_and_what_is_allowed(
    folder: Path, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    set_json(folder / "config.json", **fields)
    message = refusal(folder)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "JSON"), ('{"vocab_size": 11, "vocab_size": 12}', "twice"), ("[" * 100_000, "nests deeper"), ('{"a": NaN}', "NaN"),
        ("[1]", "not fields"), ('{"model_type": "llama"}', "vocab_size is missing"),
    ],
)  # fmt: skip
def test_a_config_that_is_no_config_is_refused(folder: Path, text: str, word: str) -> None:
    (folder / "config.json").write_text(text)
    message = refusal(folder)
    assert "config.json" in message
    assert word in message
    (folder / "config.json").write_bytes(text.encode("utf-16"))
    assert "UTF-8" in refusal(folder)


@pytest.mark.parametrize("kind", ["rope", "ropepp_eh", "ropepp_ec"])
def test_heads_that_do_not_group_are_refused_whatever_the_position(kind: str) -> None:
    with pytest.raises(UserError, match="must divide"):
        RopePPConfig(**{**SHAPE, "num_attention_heads": 8, "num_key_value_heads": 6}, position=kind)


def test_weights_whose_heads_do_not_group_are_refused_before_they_are_loaded(folder: Path) -> None:
    names = [f"model.layers.{layer}.self_attn.{name}_proj.weight" for layer in (0, 1) for name in "kv"]
    set_weights(folder, lambda w: w.update({name: torch.zeros(24, 32) for name in names}))
    set_json(folder / "config.json", num_key_value_heads=3)
    assert "num_key_value_heads is 3" in refusal(folder)


def test_ids_outside_the_vocabulary_are_left_out_with_a_word(folder: Path) -> None:
    set_json(folder / "config.json", pad_token_id=11, eos_token_id=[2, 99], bos_token_id=-1)
    info = inspect_checkpoint(folder)
    assert [sentence.split(" is outside")[0] for sentence in info.settled] == [
        "config.json: bos_token_id -1", "config.json: eos_token_id 99", "config.json: pad_token_id 11",
    ]  # fmt: skip
    model = load_checkpoint(folder)
    assert (model.config.bos_token_id, model.config.eos_token_id, model.config.pad_token_id) == (None, 2, None)
    assert model(torch.arange(5)[None]).logits.isfinite().all()


def test_generation_config_gives_ids_and_nothing_else(folder: Path) -> None:
    file = folder / "generation_config.json"
    set_json(
        file, eos_token_id=[3, 4], bos_token_id=5, temperature=0.6, top_p=0.9, do_sample=True, max_length=7, use_cache=False,
        repetition_penalty=9.0, suppress_tokens=[1], num_beams=4, pad_token_id="none",
    )  # fmt: skip
    generation = load_checkpoint(folder).generation_config
    assert generation.to_diff_dict().keys() - {"transformers_version"} == {"bos_token_id", "eos_token_id", "use_cache"}
    assert (generation.eos_token_id, generation.bos_token_id, generation.use_cache) == ([3, 4], 5, True)
    file.write_text(json.dumps({"eos_token_id": None}))
    assert load_checkpoint(folder).generation_config.eos_token_id == 2, "config.json's, where the file names none"
    file.write_text(json.dumps({"eos_token_id": "</s>"}))
    message = refusal(folder)
    assert "generation_config.json" in message
    assert 'eos_token_id is "</s>"' in message


def test_a_checkpoint_with_sampling_settings_is_exported_without_them(folder: Path, tmp_path: Path) -> None:
    set_json(folder / "generation_config.json", eos_token_id=4, temperature=0.6, top_p=0.9)
    exported = export_checkpoint(folder, tmp_path / "exported")
    written = json.loads((exported / "generation_config.json").read_text())
    assert written["eos_token_id"] == 4
    assert "temperature" not in written
    tokens = torch.arange(9)[None]
    assert torch.equal(load_checkpoint(exported)(tokens).logits, load_checkpoint(folder)(tokens).logits)


def test_noise_that_a_config_asks_for_is_not_applied_and_said(folder: Path) -> None:
    set_json(folder / "config.json", mask_config={"noise_std": 0.5, "noise_target": "both"})
    assert "noise of 0.5" in inspect_checkpoint(folder).settled[0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_what_inspecting_accepts_loads_in_every_stored_dtype(folder: Path, dtype: str) -> None:
    set_weights(folder, lambda w: w.update({name: tensor.to(getattr(torch, dtype)) for name, tensor in w.items()}))
    info = inspect_checkpoint(folder)
    assert info.dtype == dtype
    model = load_checkpoint(folder, dtype=info.dtype)
    assert model.dtype == load_checkpoint(folder).dtype == getattr(torch, dtype)
    assert model(torch.arange(5)[None]).logits.isfinite().all()
