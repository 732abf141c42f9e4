"""Who imports whom, read from the code itself: no arrow points the wrong way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ropepp_eval.rows.catalogue import task_entries

ROOT = Path(__file__).resolve().parents[1]
GROUND = {
    "dtypes",
    "errors",
    "files",
    "hashing",
    "hub",
    "inert",
    "lengths",
    "manifests",
    "outside",
    "paths",
    "processes",
    "records",
    "resolution",
    "streams",
    "words",
    "worker_states",
}
MAY_IMPORT: dict[str, set[str]] = {
    "positions": set(),
    "modeling": {"positions"},
    "checkpoints": {"modeling", "positions"},
    "forecasts": {"checkpoints"},
    "tokens": set(),
    "text": {"tokens"},
    "data": {"text", "tokens"},
    "rows": {"data", "text", "tokens"},
    "synthetic": {"rows"},
    "tasks": {"rows", "data", "text", "tokens"},
    "adapters": {"forecasts", "checkpoints", "modeling", "positions", "rows", "data", "tokens", "vllm_plugin"},
    "vllm_plugin": {"checkpoints", "modeling", "positions"},
    "runs": {"adapters", "forecasts", "checkpoints", "positions", "rows", "data", "tokens", "reports"},
    "cluster": {"runs", "forecasts", "adapters", "checkpoints", "rows"},
    "reports": {"forecasts"},
    "probes": {"runs", "forecasts", "reports", "adapters", "checkpoints", "modeling", "positions", "rows", "data", "tokens"},
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


def test_only_one_room_imports_ray_and_only_when_asked() -> None:
    """The extra is for those who use it; and a worker process is the only one that a run needs Ray in."""
    importing = {
        str(file.relative_to(ROOT / "ropepp_eval")): node
        for _, file in rooms()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "ray" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray")
    }
    assert {name.split("/")[0] for name in importing} == {"cluster"}
    code = "import sys, ropepp_eval.cluster; print('ray' in sys.modules, 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"


def test_nothing_imports_the_command_line() -> None:
    assert not [str(file) for owner, file in rooms() if owner not in ("cli", "__main__") and "cli" in imported_rooms(file)]


@pytest.mark.parametrize("room", ["rows", "reports"])
def test_rows_and_reports_name_no_benchmark(room: str) -> None:
    """What is known of a benchmark stands in its tasks' YAML, and comes to `reports` by the manifest of a run."""
    entries = task_entries()
    names = (
        {entry.benchmark for entry in entries.values()} | {name for name in entries if not name.isalpha()} | {"niah", "qa"}
    )
    pattern = re.compile("|".join(rf"(?<![a-z]){name}(?![a-z])" for name in sorted(names)), re.IGNORECASE)
    texts = {
        file.relative_to(ROOT): file.read_text(encoding="utf-8")
        for file in (ROOT / "ropepp_eval" / room).rglob("*")
        if file.suffix in (".py", ".yaml", ".html", ".js", ".css")
    }
    assert not [f"{file} names {found[0]}" for file, text in texts.items() for found in pattern.finditer(text)]


def test_tasks_are_one_package_in_a_checkout_as_in_a_wheel() -> None:
    """The link `ropepp_eval/tasks` shows `tasks/` inside the package, to Python and the type checker alike."""
    assert (ROOT / "ropepp_eval" / "tasks").samefile(ROOT / "tasks")
    assert find_spec("ropepp_eval.tasks.ruler") is not None


def test_code_written_before_the_rooms_finds_rows_under_their_former_name() -> None:
    from ropepp_eval.rows import row
    from ropepp_eval.synthetic import rows

    assert rows.Row is row.Row
    assert rows.RowRequest is row.RowRequest
