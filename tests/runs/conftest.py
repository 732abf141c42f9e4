"""A run of three tasks that several tests look into: one scores generated text, one choices, one windows of a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.rows import task_folders

ROOT = Path(__file__).resolve().parents[2]
TASKS = "passkey,openbookqa,wikitext_positions"


@pytest.fixture(scope="session")
def passkey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task of docs/tasks.md, its scorer in a file of its own."""
    root = tmp_path_factory.mktemp("tasks")
    document = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"<!-- write: (\S+) -->\n```\w+\n(.*?)```", document, re.DOTALL):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    hooks = root / "passkey" / "hooks.py"
    code, scorer = hooks.read_text().split("\ndef scores(")
    hooks.write_text(f"from .judge import scores\n{code}")
    (root / "passkey" / "judge.py").write_text(f"def scores({scorer}")
    return root / "passkey"


@pytest.fixture(scope="session")
def first(passkey: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three tasks: text is generated, choices are scored, windows are read."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    arguments = ["--task-folder", str(passkey), "--tasks", TASKS, "--lengths", "1k", "--samples", "3", "--offline"]
    before = dict(task_folders._loaded)
    try:
        assert main(["run", str(tiny_checkpoint), *arguments, "--device", "cpu", "--quiet", "--out", str(folder)]) == 0
    finally:
        task_folders._loaded.clear()
        task_folders._loaded.update(before)
    return folder
