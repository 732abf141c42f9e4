"""Which files of a folder are the checkpoint: one reading, or a refusal, and what is loaded is what was hashed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.checkpoints.inspection import describe
from ropepp_eval.checkpoints.loading import load_read
from ropepp_eval.checkpoints.pinned import PinnedFile
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from tests.checkpoints.folders import make_folder, refusal, set_json, set_weights, split

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "checkpoint")


def embedding_of(folder: Path) -> torch.Tensor:
    weight: torch.Tensor = load_checkpoint(folder).model.embed_tokens.weight
    return weight


def test_shards_and_their_index_are_the_single_file_they_came_from(folder: Path) -> None:
    wanted = embedding_of(folder)
    split(folder)
    assert torch.equal(embedding_of(folder), wanted)
    assert inspect_checkpoint(folder).settled == ()


def test_an_older_single_file_beside_shards_is_never_run(folder: Path, tmp_path: Path) -> None:
    split(folder)
    old = make_folder(tmp_path / "old", seed=1)
    shutil.copy(old / "model.safetensors", folder)
    assert "model.safetensors.index.json" in refusal(folder)


def test_a_single_file_beside_shards_without_an_index_is_ambiguous(folder: Path, tmp_path: Path) -> None:
    split(folder, index=False)
    shutil.copy(make_folder(tmp_path / "old", seed=1) / "model.safetensors", folder)
    assert "model-00001-of-00002.safetensors" in refusal(folder)


def test_whole_shards_without_an_index_are_read_with_a_word(folder: Path) -> None:
    wanted = embedding_of(folder)
    split(folder, index=False)
    assert "no index" in inspect_checkpoint(folder).settled[0]
    assert torch.equal(embedding_of(folder), wanted)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "nor model.safetensors.index.json" in refusal(folder)


def test_one_file_of_another_name_is_read_with_a_word(folder: Path) -> None:
    wanted = embedding_of(folder)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert "weights.safetensors" in inspect_checkpoint(folder).settled[0]
    assert torch.equal(embedding_of(folder), wanted)
    shutil.copy(folder / "weights.safetensors", folder / "copy.safetensors")
    assert "copy.safetensors, weights.safetensors" in refusal(folder)


def test_what_lies_beside_the_weights_is_named_and_changes_nothing(folder: Path) -> None:
    before = inspect_checkpoint(folder)
    (folder / "consolidated.safetensors").write_bytes(b"whatever")
    after = inspect_checkpoint(folder)
    assert after.settled == ("not read: consolidated.safetensors",)
    assert after.sha256 == before.sha256
    load_checkpoint(folder)


def test_an_index_that_says_other_than_the_shards_is_refused(folder: Path) -> None:
    split(folder)
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    places = sorted(set(weight_map.values()))
    moved = next(name for name, place in weight_map.items() if place == places[0])
    set_json(index, weight_map=weight_map | {moved: places[1]})
    assert moved in refusal(folder)
    set_json(index, weight_map=weight_map | {"model.extra.weight": places[1]})
    assert "model.extra.weight" in refusal(folder)
    set_json(index, weight_map={name: place for name, place in weight_map.items() if name != moved})
    assert "no file" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"weight_map": {}}, "weight_map"),
        ({"weight_map": {"a": 3}}, "weight_map.a is 3; it must be a text"),
        ({"weight_map": {"a": "/etc/passwd"}}, "outside its folder"),
        ({"weight_map": {"a": "config.json"}}, ".safetensors file"),
        ([], "mapping"),
    ],
)
def test_an_index_that_is_none_is_refused_in_words(folder: Path, content: object, word: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    assert word in refusal(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "quantize_config.json", "hf_quant_config.json"])
def test_a_file_that_asks_for_what_is_not_done_is_refused(folder: Path, name: str) -> None:
    set_json(folder / name, base_model_name_or_path="someone/else")
    assert name in refusal(folder)


def test_loading_never_asks_peft_and_never_names_the_folder_to_transformers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ropepp_eval.modeling import RopePPForCausalLM

    monkeypatch.setitem(sys.modules, "peft", types.ModuleType("peft"))
    asked = []
    original = RopePPForCausalLM.from_pretrained.__func__  # type: ignore[attr-defined]

    def watched(cls: type, name: object, **kwargs: object) -> object:
        asked.append(name)
        return original(cls, name, **kwargs)

    monkeypatch.setattr(RopePPForCausalLM, "from_pretrained", classmethod(watched))
    load_checkpoint(folder)
    assert asked == [None]


def test_a_tied_flag_with_another_head_is_refused_and_with_the_same_is_one_tensor(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tied", tie_word_embeddings=True)
    plain = inspect_checkpoint(folder)
    set_weights(folder, lambda w: w.update({"lm_head.weight": w[EMBEDDING].clone()}))
    assert inspect_checkpoint(folder).parameters == plain.parameters
    model = load_checkpoint(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    set_weights(folder, lambda w: w["lm_head.weight"][3].add_(1))
    assert "lm_head.weight" in refusal(folder)
    set_json(folder / "config.json", tie_word_embeddings=False)
    model = load_checkpoint(folder)
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert model.num_parameters() == inspect_checkpoint(folder).parameters == plain.parameters + 11 * 32


def test_a_snapshot_in_the_hubs_cache_is_called_by_its_repository(folder: Path, tmp_path: Path) -> None:
    for repository, parts in (("models--owner--some--name", ("owner", "some--name")), ("models--gpt2", ("gpt2",))):
        snapshot = tmp_path / "hub" / repository / "snapshots" / ("0123abcd" * 5)
        shutil.copytree(folder, snapshot)
        info = inspect_checkpoint(snapshot)
        assert (info.name, info.path_parts) == (parts[-1], parts)
    assert inspect_checkpoint(folder).name == "checkpoint"


# files stay what they were


def replace(folder: Path, seed: int = 7) -> None:
    """Other weights of the same size, moved over the old ones, with the old ones' time."""
    file = folder / "model.safetensors"
    before = file.stat()
    other = make_folder(folder.parent / f"other-{seed}", seed=seed) / "model.safetensors"
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def overwrite(folder: Path) -> None:
    """Other bytes in the same file, with the old time."""
    file = folder / "model.safetensors"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, overwrite])
def test_weights_that_change_between_reading_and_loading_are_refused(folder: Path, change: object) -> None:
    assert callable(change)
    read = read_checkpoint(folder, None)
    described = describe(read)
    change(folder)
    with pytest.raises(UserError, match=r"model\.safetensors changed"):
        load_read(read)
    assert inspect_checkpoint(folder).sha256 != described.sha256


def test_a_planned_hash_holds_for_untouched_and_rewritten_files_and_no_others(folder: Path) -> None:
    planned = inspect_checkpoint(folder).sha256
    shutil.copy(folder / "model.safetensors", folder.parent / "copy")
    os.replace(folder.parent / "copy", folder / "model.safetensors")
    read_checkpoint(folder, None).check_sha256(planned)
    replace(folder)
    with pytest.raises(UserError, match="changed since it was planned"):
        read_checkpoint(folder, None).check_sha256(planned)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    pinned = PinnedFile.of(file)
    with pytest.raises(UserError, match="changed"), pinned.open():
        file.write_bytes(b"behind")
    assert PinnedFile.of(file).sha256 != ""


def test_a_loaded_model_does_not_follow_its_file(folder: Path) -> None:
    model = load_checkpoint(folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write(bytes(file.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named_when_it_is_loaded(folder: Path, value: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    set_weights(folder, lambda weights: weights[name][3, 4].fill_(value))
    inspect_checkpoint(folder)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_checkpoint(folder)


def test_a_weight_that_a_smaller_dtype_cannot_hold_is_named(folder: Path) -> None:
    set_weights(folder, lambda weights: weights["model.norm.weight"][0].fill_(70000.0))
    load_checkpoint(folder)
    with pytest.raises(UserError, match="70000, more than float16"):
        load_checkpoint(folder, dtype="float16")
