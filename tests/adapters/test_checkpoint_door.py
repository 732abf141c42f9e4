"""What an adapter loads and stops at is what the checkpoint's door gave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.errors import UserError


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))


def test_another_hash_than_planned_is_refused(folder: Path) -> None:
    planned = ropepp_eval.inspect_checkpoint(folder).sha256
    assert NativeLM(str(folder), sha256=planned).checkpoint is not None
    with pytest.raises(UserError, match="changed since it was planned"):
        NativeLM(str(folder), sha256="0" * 64)


def test_what_ran_is_described_as_it_was_when_it_was_loaded(folder: Path) -> None:
    loaded = ropepp_eval.inspect_checkpoint(folder)
    lm = NativeLM(str(folder))
    (folder / "model.safetensors").unlink()
    assert lm.get_model_info()["checkpoint"] == {"name": "tiny", **loaded.facts}


def test_stops_are_the_tokenizers_and_those_of_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9], "temperature": 0.1}))
    assert NativeLM(str(folder)).end_ids == {0, 7, 9}
    assert ropepp_eval.inspect_checkpoint(folder).stop_ids == (7, 9)
