"""Who imports whom, read from the code itself: no arrow points the wrong way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GROUND = {"errors", "files", "hashing", "lengths", "manifests", "outside", "paths", "records", "resolution", "streams"}
MAY_IMPORT: dict[str, set[str]] = {
    "positions": set(),
    "modeling": {"positions"},
    "checkpoints": {"modeling", "positions"},
    "tokens": set(),
    "text": {"tokens"},
    "data": {"text", "tokens"},
    "rows": {"data", "text", "tokens"},
    "tasks": {"rows", "data", "text", "tokens"},
    "adapters": {"checkpoints", "modeling", "positions", "rows", "data", "tokens", "vllm_plugin"},
    "vllm_plugin": {"checkpoints", "modeling", "positions"},
    "runs": {"adapters", "checkpoints", "positions", "rows", "data", "tokens", "reports"},
    "reports": set(),
    "demo": {"runs", "reports", "tasks", "checkpoints", "modeling", "positions", "rows", "data", "text", "tokens"},
}
"""Beside itself and the ground. `runs` knows `reports` for `evaluate`, which gives the frame of what it ran."""


def rooms() -> Iterator[tuple[str, Path]]:
    for file in sorted((ROOT / "ropepp_eval").rglob("*.py")) + sorted((ROOT / "tasks").rglob("*.py")):
        parts = file.relative_to(ROOT).parts
        yield ("tasks" if parts[0] == "tasks" else parts[1].removesuffix(".py")), file


def imported_rooms(file: Path) -> set[str]:
    """Rooms of ours that a file imports anywhere, inside functions too; imports for types alone do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    modules = [
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
    ]  # fmt: skip
    return {name.split(".")[1] for name in modules if name.startswith("ropepp_eval.")}


@pytest.mark.parametrize("room", [*MAY_IMPORT, "ground"])
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {other}"
        for owner, file in rooms()
        if owner == room or (room == "ground" and owner in GROUND)
        for other in sorted(imported_rooms(file) - GROUND - {owner} - MAY_IMPORT.get(room, set()))
    ]
    assert not wrong


def test_nothing_imports_the_command_line() -> None:
    assert not [str(file) for owner, file in rooms() if owner not in ("cli", "__main__") and "cli" in imported_rooms(file)]
