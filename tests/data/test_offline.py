"""Nothing but `data prepare --from hub` touches the network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_folders_are_prepared_and_checked_without_the_network(tmp_path: Path) -> None:
    (tmp_path / "from/gutenberg").mkdir(parents=True)
    (tmp_path / "from/gutenberg/a.txt").write_text("A book.")
    assert main(["data", "prepare", "--offline", "--from", str(tmp_path / "from"), "--into", str(tmp_path / "data")]) == 0
    assert main(["data", "check", str(tmp_path / "data"), "--offline"]) == 0
    assert main(["data", "prepare", "--offline", "--from", "generated", "--into", str(tmp_path / "made")]) == 0


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("task", ["babilong_qa1", "babilong_qa2", "babilong_qa3"])
def test_rows_are_built_without_the_network(task: str, tiny_tokenizer_dir: Path) -> None:
    show = ["tasks", "show", task, "--length", "2k", "--tokenizer", str(tiny_tokenizer_dir), "--offline"]
    assert main(show) == 0


def test_the_hub_with_offline_is_the_users_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", "--from", "hub", "--offline", "--into", str(tmp_path)]) == 2
    assert "needs the network" in capsys.readouterr().err
