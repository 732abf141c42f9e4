"""The loader hands vLLM's model exactly the tensors that the native adapter loads. It needs no engine."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ropepp_eval import load_checkpoint
from ropepp_eval.adapters.vllm.lm import end_ids_of
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from tests.checkpoints.folders import set_json, set_weights, split
from tests.vllm.tiny import make_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")


def loaded_by_vllm(folder: Path, dtype: torch.dtype = torch.float32, **extra: Any) -> dict[str, torch.Tensor]:
    from vllm.config.load import LoadConfig

    from ropepp_eval.vllm_plugin import LOAD_FORMAT
    from ropepp_eval.vllm_plugin.loading import RopePPLoader

    loader = RopePPLoader(LoadConfig(load_format=LOAD_FORMAT, model_loader_extra_config=extra))
    given: dict[str, torch.Tensor] = {}
    model = SimpleNamespace(load_weights=lambda weights: given.update(weights))
    loader.load_weights(model, SimpleNamespace(model=str(folder), hf_overrides={}, dtype=dtype))
    return given


@pytest.fixture
def folder(tmp_path: Path, tiny_tokenizer_dir: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "alibi")


@pytest.mark.parametrize("form", ["single", "shards", "shards without index", "another name"])
def test_both_engines_load_the_same_tensors_of_every_form(folder: Path, form: str) -> None:
    if form == "another name":
        (folder / "model.safetensors").rename(folder / "weights.safetensors")
    elif form != "single":
        split(folder, index=form == "shards")
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    for dtype in (torch.float32, torch.bfloat16):
        wanted = load_checkpoint(folder, dtype=dtype).state_dict()
        given = loaded_by_vllm(folder, dtype)
        assert given.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert given[name].dtype == tensor.dtype
            assert torch.equal(given[name], tensor), name


def test_files_that_changed_since_the_engine_was_asked_for_are_refused(folder: Path) -> None:
    from ropepp_eval.vllm_plugin import PINNED_FILES

    pinned = [file.as_json for file in read_checkpoint(folder, None).folder.weights]
    assert loaded_by_vllm(folder, **{PINNED_FILES: pinned})
    shutil.copy(folder / "model.safetensors", folder / "copy")
    (folder / "copy").replace(folder / "model.safetensors")
    with pytest.raises(UserError, match="changed while the engine started"):
        loaded_by_vllm(folder, **{PINNED_FILES: pinned})


def test_a_weight_that_is_no_number_is_named(folder: Path) -> None:
    set_weights(folder, lambda weights: weights["model.norm.weight"][0].fill_(float("nan")))
    with pytest.raises(UserError, match=r"model\.norm\.weight"):
        loaded_by_vllm(folder)


def test_stops_are_those_of_the_native_adapter(folder: Path) -> None:
    set_json(folder / "generation_config.json", eos_token_id=[7, 9], temperature=0.1)
    assert end_ids_of(read_checkpoint(folder, None), 3) == {3, 7, 9}
