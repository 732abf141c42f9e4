"""A run, its table and its refusals on models of transformers' own classes: one that shares prefixes, one that reads whole."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval.cli import main
from tests.adapters.families import FAMILIES

LENGTHS = ["1k"]


def checkpoint(name: str, folder: Path, tokenizer_dir: Path) -> Path:
    family = next(family for family in FAMILIES if family.name == name)
    sizes = {"vocab_size": 512, "max_position_embeddings": 1024}
    dataclasses.replace(family, settings={**family.settings, **sizes}).save(folder)
    for file in tokenizer_dir.iterdir():
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize("name", ["Gemma 3", "Jamba"])
def test_a_run_and_its_table(
    name: str, tmp_path: Path, tiny_tokenizer_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = checkpoint(name, tmp_path / "model", tiny_tokenizer_dir), tmp_path / "out"
    frame = ropepp_eval.evaluate(folder, tasks=["babilong_qa1"], lengths=LENGTHS, samples=2, out=out, quiet=True)
    assert set(frame["position"]) == {ropepp_eval.inspect_checkpoint(folder).position}
    assert list(frame["failed"]) == [0] * len(frame)
    again = ropepp_eval.evaluate(folder, tasks=["babilong_qa1"], lengths=LENGTHS, samples=2, out=out, quiet=True)
    assert list(again["value"]) == list(frame["value"])
    assert main(["table", str(out)]) == 0
    assert "babilong" in capsys.readouterr().out
