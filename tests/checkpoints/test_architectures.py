"""The door for checkpoints of transformers' own classes: what is refused, and what reaches the class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval import cli, inspect_checkpoint, load_checkpoint
from ropepp_eval.checkpoints.reading import read_checkpoint
from tests.adapters.families import FAMILIES
from tests.checkpoints.folders import make_folder, refusal, set_json, set_weights

LAYER = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(family for family in FAMILIES if family.name == "Qwen3").save(tmp_path_factory.mktemp("qwen") / "qwen3")


@pytest.fixture
def folder(qwen: Path, tmp_path: Path) -> Path:
    shutil.copytree(qwen, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_type": "qwen9"}, ("model_type is 'qwen9'", "does not know")),
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, ("auto_map", "never run")),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, ("t5 is an encoder-decoder",)),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, ("BertForMaskedLM", "BertLMHeadModel")),
        ({"model_type": "vit", "architectures": None}, ("no causal language model",)),
        ({"model_type": "gemma3", "architectures": None}, ("several models", "text_config")),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, ("Qwen3ForSequenceClassification", "Qwen3ForCausalLM")),
        ({"quantization_config": {"quant_method": "gptq"}}, ("quantization_config", "before quantisation")),
        ({"per_layer_config": {"0": {"head_dim": 4}}}, ("per_layer_config",)),
        ({"hidden_size": "wide"}, ("hidden_size",)),
        ({"hidden_act": "evil"}, ("evil",)),
        ({"num_hidden_layers": 4000, "layer_types": None}, ("num_hidden_layers is 4,000", "2 layers")),
        ({"num_hidden_layers": 1 << 40}, ("num_hidden_layers",)),
        ({"vocab_size": 97}, ("[96, 32]", "[97, 32]")),
        ({"rope_parameters": {"rope_type": "evil"}}, ("evil",)),
        ({"eos_token_id": "x"}, ("eos_token_id",)),
    ],
)  # fmt: skip
def test_a_config_that_cant_be_used_is_one_line(folder: Path, fields: dict[str, Any], words: tuple[str, ...]) -> None:
    set_json(folder / "config.json", **fields)
    message = refusal(folder)
    for word in words:
        assert word in message


def test_the_command_line_ends_with_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_json(folder / "config.json", model_type="qwen9")
    assert cli.main(["inspect", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop(LAYER), ("lack", LAYER)),
        (lambda weights: weights.update({LAYER: torch.zeros(3, 3)}), (LAYER, "[3, 3]")),
        (lambda weights: weights.update({"model.layers.0.evil.weight": torch.zeros(3)}), ("evil.weight", "no place")),
        (lambda weights: weights.update({"model.norm.bias": torch.zeros(3, dtype=torch.int64)}), ("model.norm.bias",)),
    ],
)
def test_weights_that_are_not_the_models_are_refused(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], words: tuple[str, ...]
) -> None:
    set_weights(folder, change)
    message = refusal(folder)
    for word in words:
        assert word in message


def test_a_weight_that_is_nan_is_named(folder: Path) -> None:
    set_weights(folder, lambda weights: weights[LAYER].fill_(float("nan")))
    inspect_checkpoint(folder)
    with pytest.raises(Exception, match=f"{LAYER}.*NaN"):
        load_checkpoint(folder)


def test_numbers_that_no_model_is_computed_from_are_refused_in_ours(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "ours")
    set_weights(folder, lambda weights: weights.update({"x": torch.zeros(3, dtype=torch.int32)}))
    assert '"I32"' in refusal(folder)


def test_masks_that_old_releases_stored_are_no_weights(tmp_path: Path) -> None:
    folder = next(family for family in FAMILIES if family.name == "GPT-NeoX").save(tmp_path / "pythia")
    plain = inspect_checkpoint(folder).parameters
    mask = {"gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool)}
    set_weights(folder, lambda weights: weights.update(mask))
    assert inspect_checkpoint(folder).parameters == load_checkpoint(folder).num_parameters() == plain


def test_only_fields_of_the_class_reach_it(folder: Path) -> None:
    wanted = read_checkpoint(folder, None).config.to_dict()
    odd = {
        "attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel", "experts_implementation": "evil/kernel", "num_labels": 9,
        "id2label": {"0": "x"}, "temperature": 0.1, "use_cache": False, "mystery": 1, "name_or_path": "evil/repository",
    }  # fmt: skip
    set_json(folder / "config.json", **odd)
    read = read_checkpoint(folder, None)
    assert read.config.to_dict() == wanted
    assert any("mystery" in sentence for sentence in read.settled)
    model = load_checkpoint(folder)
    assert model.config._attn_implementation == "sdpa"
    assert not model.generation_config.do_sample


def test_soft_caps_and_sinks_run_in_eager(tmp_path: Path) -> None:
    for name in ("Gemma 2", "GPT-OSS"):
        folder = next(family for family in FAMILIES if family.name == name).save(tmp_path / name)
        info = inspect_checkpoint(folder)
        assert (info.kernel("sdpa"), info.kernel("eager")) == ("eager", "eager")
        assert load_checkpoint(folder).config._attn_implementation == "eager"


def test_a_model_without_a_length_or_a_known_cache_is_refused(tmp_path: Path) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    folder = tmp_path / "mamba"
    MambaForCausalLM(MambaConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2, state_size=4)).save_pretrained(folder)
    assert "max_position_embeddings" in refusal(folder)
    set_json(folder / "config.json", max_position_embeddings=512)
    info = inspect_checkpoint(folder)
    assert info.max_position_embeddings == 512
    assert info.position == "no positions, a state on 2 of 2 layers (transformers)"
    assert info.cache_bytes(10) == info.cache_bytes(500)
    bert = json.loads((folder / "config.json").read_text()) | {"model_type": "rwkv", "architectures": ["RwkvForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(bert))
    refusal(folder)
