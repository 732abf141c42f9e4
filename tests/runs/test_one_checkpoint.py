"""A run names each checkpoint once, and what it answers for is what it planned for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.runs import execute
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.plan import build_plan
from ropepp_eval.runs.preflight import describe_plan
from tests.conftest import make_tiny_checkpoint

SMALL: dict[str, Any] = {"tasks": "niah_single_1", "lengths": "1k", "samples": 1, "quiet": True}


def labels(*checkpoints: Any) -> list[str]:
    return [c.label for c in build_plan(RunConfig.of(*checkpoints, **SMALL)).checkpoints]


def test_two_spellings_of_one_checkpoint_are_one(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_checkpoint.parent)
    (tmp_path / "link").symlink_to(tiny_checkpoint)
    spellings = [tiny_checkpoint, f"{tiny_checkpoint}/", tiny_checkpoint.name, f"../{tiny_checkpoint.parent.name}/tiny"]
    assert labels(*spellings, tmp_path / "link") == ["tiny"]


def test_snapshots_are_called_by_their_repository_and_two_of_one_apart(
    tiny_checkpoint: Path, tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    snapshots = tmp_path / "models--owner--name" / "snapshots"
    shutil.copytree(tiny_checkpoint, snapshots / "aaaa")
    assert labels(snapshots / "aaaa") == ["name"]
    assert labels(snapshots / "aaaa", tiny_checkpoint) == ["name", "tiny"]
    make_tiny_checkpoint(snapshots / "bbbb", tiny_tokenizer_dir, seed=9)
    first, second = labels(snapshots / "aaaa", snapshots / "bbbb")
    assert first != second
    assert first.startswith("owner/name@")


def test_weights_replaced_between_plan_and_load_are_not_answered_for(
    tiny_checkpoint: Path, tiny_tokenizer_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))
    other = make_tiny_checkpoint(tmp_path / "other", tiny_tokenizer_dir, seed=5)

    def check_and_replace(plan: Any) -> None:
        shutil.copy(other / "model.safetensors", folder / "model.safetensors")

    monkeypatch.setattr(execute, "check_plan", check_and_replace)
    with pytest.raises(UserError, match="changed since it was planned"):
        execute.run(RunConfig.of(folder, **SMALL, out=tmp_path / "out"))
    assert not list((tmp_path / "out").glob("rows/*/*.jsonl"))


def test_how_a_folder_was_read_is_said_by_inspect_and_by_the_plan(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))
    (folder / "consolidated.safetensors").write_bytes(b"")
    plan = build_plan(RunConfig.of(folder, **SMALL))
    assert "note    tiny: not read: consolidated.safetensors" in "\n".join(describe_plan(plan))
    assert main(["inspect", str(folder)]) == 0
    assert "not read: consolidated.safetensors" in capsys.readouterr().out


def test_a_tokenizer_larger_than_the_embedding_runs_unless_rows_need_what_is_beyond(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    def with_entries(name: str, more: int) -> Path:
        folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / name))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_special_tokens([f"<pad{i}>" for i in range(more + 512 - tokenizer.get_vocab_size())])
        tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    out = execute.run(RunConfig.of(with_entries("few", 3), **SMALL, out=tmp_path / "out")).folder
    assert list(out.glob("rows/*/*.jsonl"))
    many = with_entries("many", 100)
    assert list(execute.run(RunConfig.of(many, **SMALL, out=tmp_path / "out2")).folder.glob("rows/*/*.jsonl"))
    vocabulary = json.loads((many / "tokenizer.json").read_text())
    tokens = sorted(vocabulary["model"]["vocab"], key=vocabulary["model"]["vocab"].get)
    vocabulary["model"]["vocab"] = {token: place + 513 for place, token in enumerate(tokens)}
    vocabulary["added_tokens"] = []
    (many / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(UserError, match="has room for 512, and row 0"):
        execute.run(RunConfig.of(many, **SMALL, out=tmp_path / "out3"))
