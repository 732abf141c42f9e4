"""What inspecting says about a checkpoint, and by which evidence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.errors import UserError


@pytest.mark.parametrize(("folder", "position", "scaling", "base"), [
    ("rope", "rope", "none", 1e4), ("rope_theta500k", "rope", "none", 5e5), ("rope_pi8", "rope", "pi8", 1e4),
    ("ropepp_eh_yarn32", "ropepp_eh", "yarn32", 1e4), ("ropepp_ec", "ropepp_ec", "none", 1e4), ("fope", "fope", "none", 1e4),
    ("pythia", "partial", "none", 1e4), ("alibi", "alibi", "none", None),
])  # fmt: skip
def test_the_config_of_the_authors_is_understood(golden, folder, position, scaling, base):
    info = inspect_checkpoint(golden / folder)
    assert (info.position, info.scaling, info.base) == (position, scaling, base)
    assert all(sentence.startswith("config.json: ") for sentence in info.evidence)


@pytest.mark.parametrize("position", ["rope", "ropepp_eh", "ropepp_ec"])
def test_shapes_tell_what_a_bare_config_does_not(golden, position):
    info = inspect_checkpoint(golden / f"{position}__no_rope_config")
    assert info.position == position
    assert "shapes of layer 0" in info.evidence[0]


@pytest.mark.parametrize("name", ["alibi", "fope"])
def test_stored_tensors_tell_what_a_bare_config_does_not(golden, tmp_path, name):
    folder = edited(
        golden / name, tmp_path, lambda config: {k: v for k, v in config.items() if k not in ("use_alibi", "fourier")}
    )
    assert inspect_checkpoint(folder).position == name


def test_heads_and_cache_of_the_three_kinds(golden):
    rope, eh, ec = (inspect_checkpoint(golden / name) for name in ("rope", "ropepp_eh", "ropepp_ec"))
    assert [(i.query_heads, i.key_value_heads, i.attention_heads) for i in (rope, eh, ec)] == [
        (6, 2, 6),
        (3, 1, 6),
        (6, 2, 12),
    ]
    assert rope.kv_bytes_per_token == 2 * 2 * 2 * 16 * 2
    assert (eh.kv_bytes_per_token, ec.kv_bytes_per_token) == (rope.kv_bytes_per_token // 2, rope.kv_bytes_per_token)
    assert rope.kv_bytes("float32") == 2 * rope.kv_bytes_per_token


def test_counted_parameters_are_those_of_the_loaded_model(golden, tiny_checkpoint):
    for folder in (golden / "ropepp_ec", tiny_checkpoint):
        assert inspect_checkpoint(folder).parameters == load_checkpoint(folder).num_parameters()


def test_the_hash_follows_the_content_and_not_the_place(golden, tmp_path):
    original = inspect_checkpoint(golden / "rope")
    copy = edited(golden / "rope", tmp_path, None)
    assert inspect_checkpoint(copy).sha256 == original.sha256
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert inspect_checkpoint(copy).sha256 != original.sha256


@pytest.mark.parametrize(("asked", "position", "scaling"), [
    ("rope+pi8", "rope", "pi8"), ("rope+yarn32", "rope", "yarn32"), ("nope", "nope", "none"), ("rope", "rope", "none"),
    ("partial", "partial", "none"),
])  # fmt: skip
def test_the_user_says_what_the_weights_cannot(golden, asked, position, scaling):
    info = inspect_checkpoint(golden / "rope__no_rope_config", position=asked)
    assert (info.position, info.scaling) == (position, scaling)
    assert asked in info.evidence[0]


def test_a_scaling_asked_for_replaces_that_of_the_config(golden):
    assert inspect_checkpoint(golden / "rope_yarn32", position="rope+pi8").scaling == "pi8"
    assert inspect_checkpoint(golden / "rope_yarn32", position="rope").scaling == "yarn32"
    assert inspect_checkpoint(golden / "rope_yarn32", position="rope+none").scaling == "none"


def test_a_scaling_asked_for_gives_the_numbers_of_that_scaling(golden):
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        asked = load_checkpoint(golden / "ropepp_ec__no_rope_config", position="ropepp_ec+yarn32", dtype="float32")(tokens)
        written = load_checkpoint(golden / "ropepp_ec_yarn32", dtype="float32")(tokens)
    assert torch.equal(asked.logits, written.logits)


def test_transformers_own_fields_are_read_as_transformers_reads_them(golden, tmp_path):
    def bare(**fields):
        def edit(config):
            return {**{k: v for k, v in config.items() if k not in ("rope_theta", "rope_config", "rope_scaling")}, **fields}

        return inspect_checkpoint(edited(golden / "rope", tmp_path, edit))

    assert bare(rope_parameters={"rope_theta": 5e5, "rope_type": "default"}, rope_theta=1e4).base == 5e5
    assert bare(rope_theta=123.0).base == 123.0
    assert bare().base == 1e4
    assert bare(rope_scaling={"type": "linear", "factor": 4.0}).scaling == "pi4"
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    assert bare(rope_scaling=yarn).position == "rope, yarn factor 4 from 16 (transformers)"
    with pytest.raises(UserError, match="rope type 'ntk'"):
        inspect_checkpoint(
            edited(golden / "rope", tmp_path, lambda c: {**c, "rope_scaling": {"rope_type": "ntk", "factor": 4.0}})
        )


def test_dtypes_devices_and_eval_mode(golden):
    assert load_checkpoint(golden / "rope").dtype == torch.bfloat16
    assert load_checkpoint(golden / "rope", dtype=torch.float16).dtype == torch.float16
    model = load_checkpoint(golden / "fope", dtype="bf16", device="cpu")
    assert not model.training
    assert {t.dtype for t in model.model.layers[0].self_attn.stored_tensors().values()} == {torch.float32}
    with pytest.raises(UserError, match=r"dtype 'float31'.*float32"):
        load_checkpoint(golden / "rope", dtype="float31")


def test_loading_turns_the_cache_on_that_published_configs_turn_off(golden):
    model = load_checkpoint(golden / "ropepp_eh")
    assert model.config.use_cache
    assert model.generation_config.use_cache
    assert model.generation_config.eos_token_id == 63


def test_loading_draws_nothing_from_the_global_stream(golden):
    state = torch.get_rng_state()
    load_checkpoint(golden / "fope")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loaded_model_saves_as_ours_and_comes_back(golden, tmp_path):
    for name in ("ropepp_eh_yarn32", "fope", "alibi_12h", "pythia"):
        model = load_checkpoint(golden / name, dtype="float32")
        model.save_pretrained(tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["model_type"] == "ropepp"
        assert "rope_config" not in config
        again = load_checkpoint(tmp_path / name)
        with torch.no_grad():
            assert torch.equal(again(torch.arange(30)[None]).logits, model(torch.arange(30)[None]).logits)


def edited(source: Path, folder: Path, edit) -> Path:
    """A copy of a checkpoint folder, its config changed by `edit`."""
    copy = folder / source.name
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in source.iterdir():
        if file.suffix != ".npz":
            shutil.copyfile(file, copy / file.name)
    if edit is not None:
        (copy / "config.json").write_text(json.dumps(edit(json.loads((source / "config.json").read_text()))))
    return copy
