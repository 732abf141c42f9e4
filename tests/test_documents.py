"""README and docs show what their commands really print, and every command of ours is shown."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ropepp_eval.cli import COMMANDS
from tests.warm.start import Warm

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def documents() -> ModuleType:
    """`docs/run_commands.py` as a module."""
    spec = importlib.util.spec_from_file_location("run_commands", ROOT / "docs" / "run_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_shows_the_real_output(
    document: Path, documents: ModuleType, tmp_path: Path, warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's with the command as it is installed, the others' with a warm one."""
    text = document.read_text(encoding="utf-8")
    shown = documents.shown_commands(text)
    if not any(not command.skipped for command in shown):
        pytest.skip(f"{document.name} shows no command that runs here")
    if document.name != "README.md":
        monkeypatch.setattr(documents, "COMMANDS", warm.scripts())
    real = documents.rewritten(text, documents.workplace(tmp_path))
    assert documents.masked(real) == documents.masked(text), "run docs/run_commands.py --write on it"


def test_a_command_that_fails_or_hides_its_output_is_refused(documents: ModuleType, tmp_path: Path) -> None:
    def block(command: str, before: str = "") -> str:
        return f"{before}```console\n$ {command}\n```"

    assert documents.rewritten(block("echo one; exit 3", "<!-- status: 3 -->\n"), tmp_path) == (
        "<!-- status: 3 -->\n```console\n$ echo one; exit 3\none\n```"
    )
    assert documents.rewritten(block(r"printf '10%%\r100%%\nend\n'"), tmp_path).endswith("\n100%\nend\n```")
    for command, reason in (
        ("echo why; exit 3", "status 3, not 0; it printed:\nwhy"),
        ("ls 2>/dev/null", "hides"),
        ("ls > /dev/null", "hides"),
        ("ls nowhere || true", "hides"),
    ):
        with pytest.raises(documents.Refused, match=reason):
            documents.rewritten(block(command), tmp_path)
    with pytest.raises(documents.Refused, match="status 0, not 2"):
        documents.rewritten(block("true", "<!-- status: 2 -->\n"), tmp_path)


@pytest.mark.parametrize("document", [ROOT / "Makefile", *DOCUMENTS], ids=lambda path: path.name)
def test_no_document_silences_a_stream(document: Path) -> None:
    assert "/dev/null" not in document.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_a_document(command: str) -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert f"ropepp-eval {command}" in texts, f"show `ropepp-eval {command}` in README.md or docs/"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / os.fspath(target)).exists(), f"{document.name} links to {target}"


def test_the_readme_is_one_that_a_stranger_reads() -> None:
    lines = DOCUMENTS[0].read_text(encoding="utf-8").splitlines()
    assert len(lines) < 220
    assert not [line for line in lines if len(line) > 120]
