"""`train-demo` given what it can't use: one line, status 2, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.demo import zoo
from ropepp_eval.demo.training import Training
from ropepp_eval.paths import resource_dir


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that `train-demo` prints for these arguments; checks that it is one line and status 2."""
    capsys.readouterr()
    assert main(["train-demo", *map(str, arguments)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "rope" / "something"
    kept.parent.mkdir()
    kept.write_text("mine")
    assert "exists" in refusal(capsys, "rope", "--out", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["rope"]
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rope", "--steps", "0"], "--steps 0"),
        (["rope", "--threads", "0"], "--threads 0"),
        (["rope", "--seed", "one"], "one"),
        (["roppe"], "did you mean rope"),
        ([], "no position"),
    ],
)
def test_arguments_that_train_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_folder_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in refusal(capsys, "rope")


def test_no_space(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(zoo.shutil, "disk_usage", lambda path: usage(2**30, 2**30 - 2**20, 2**20))
    assert "1 MiB of free space" in refusal(capsys, "rope", "--out", tmp_path / "out", "--no-compile")


def test_space_that_runs_out_while_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Training) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "state.safetensors")

    monkeypatch.setattr(Training, "step", full)
    capsys.readouterr()
    assert main(["train-demo", "rope", "--out", str(tmp_path), "--no-compile", "--steps", "2"]) == 2
    assert "free some space" in capsys.readouterr().err
    assert not (tmp_path / "rope").exists()


def test_a_file_where_the_folder_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    assert "out" in refusal(capsys, "rope", "--out", tmp_path / "out", "--no-compile")


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Training) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "step", interrupt)
    assert main(["train-demo", "rope", "--out", str(tmp_path), "--no-compile"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_check_of_a_folder_without_a_usable_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no card.json" in refusal(capsys, "--check", tmp_path)
    card = tmp_path / "card.json"
    card.write_text("{")
    assert "not JSON" in refusal(capsys, "--check", tmp_path)
    card.write_text(json.dumps({"settings": {}, "losses": []}))
    assert "settings.position is missing" in refusal(capsys, "--check", tmp_path)
    card.write_bytes((resource_dir("models") / "demo/rope/card.json").read_bytes())
    assert "holds no model.safetensors" in refusal(capsys, "--check", tmp_path)
    shutil.rmtree(tmp_path)
    assert "holds no card.json" in refusal(capsys, "--check", tmp_path)


def test_a_check_trains_no_positions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave out positions" in refusal(capsys, "rope", "--check", tmp_path)
