"""`ropepp-eval data`: what it prints and what it returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.cli import main


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "from/gutenberg").mkdir(parents=True)
    (tmp_path / "from/gutenberg/a.txt").write_text("A book.")
    assert main(["data", "prepare", "--from", str(tmp_path / "from"), "--into", str(tmp_path / "data")]) == 0
    return tmp_path / "data"


def test_check_lists_files_and_what_is_lacking(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(prepared)]) == 0
    printed = capsys.readouterr().out
    assert "gutenberg: 1 prepared" in printed
    assert "babilong lacks babi/en-10k/qa*_test.txt: bAbI v1.2" in printed
    assert "lambada lacks lambada/lambada_test.jsonl: `ropepp-eval data prepare --from hub`" in printed


def test_check_returns_1_where_a_file_changed(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (prepared / "gutenberg/a.txt").write_text("Another.")
    assert main(["data", "check", str(prepared), "--format", "json"]) == 1
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index("{") :])
    assert found["sound"] is False
    assert found["files"][0]["state"] == "changed"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["data", "check", "nowhere"], "data folder nowhere is not there"),
        (["data", "check", "--from", "hub"], "takes a folder and neither --from nor --into"),
        (["data", "prepare", "somewhere"], "name the data folder with --into"),
        (["data", "prepare", "--from", "nowhere", "--into", "x"], "data source nowhere is not a folder"),
        (["data", "prepare", "--from", "hub", "--only", "squid"], "did you mean squad?"),
        (["data", "prepare", "--lengths", "3x"], "length '3x' is not a context length"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    arguments: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert complaint in printed
    assert len(printed.strip().splitlines()) == 1
