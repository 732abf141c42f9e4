"""Which heavy libraries each command imports: what takes seconds to import is imported by the commands that compute with it alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports.results_folders import FakeCell, write_run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "lm_eval", "pandas", "scipy", "matplotlib", "vllm", "ray", "statsmodels")
WATCHED = """
import contextlib, io, json, sys
from ropepp_eval.cli import _dispatch
heavy, found = json.loads(sys.argv[1]), {}
for name, arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()):
        status = _dispatch(arguments)
    found[name] = [status, [one for one in heavy if one in sys.modules]]
print(json.dumps(found))
"""
AT_THE_FIRST_LINE = """
import io, json, os, sys
from ropepp_eval.cli import _dispatch
class FirstLine(io.StringIO):
    def write(self, text):
        os.write(1, json.dumps([text, [one for one in json.loads(sys.argv[1]) if one in sys.modules]]).encode())
        os._exit(0)
sys.stderr = FirstLine()
_dispatch(json.loads(sys.argv[2]))
"""


def printed(code: str, arguments: object) -> str:
    command = [sys.executable, "-c", code, json.dumps(HEAVY), json.dumps(arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    cells = [FakeCell(checkpoint=name, length_tokens=length) for name in ("a", "b") for length in (2048, 4096)]
    return str(write_run(tmp_path_factory.mktemp("results") / "run", cells))


def test_commands_that_compute_with_no_model_import_what_they_need(run: str, tmp_path: Path) -> None:
    """One process, the lightest command first, so what one imports is seen at the next ones too."""
    commands = [
        ("models", ["models"]),
        ("tasks", ["tasks"]),
        ("status", ["status", run]),
        ("rows", ["rows", run, "--wrong"]),
        ("table", ["table", run]),
        ("tested", ["table", run, "--ci", "--significant"]),
        ("compare", ["compare", "a", "b", run]),
        ("report", ["report", run, "--out", str(tmp_path / "report.html")]),
    ]
    found = json.loads(printed(WATCHED, commands))
    assert found == {name: [0, [] if name in ("models", "tasks", "status", "rows") else ["scipy"]] for name, _ in commands}


def test_a_run_says_its_first_line_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    arguments = [
        "run",
        "models/demo/rope",
        "--tasks",
        "niah_single_1",
        "--lengths",
        "256",
        "--samples",
        "1",
        "--out",
        str(tmp_path),
    ]
    said, heavy = json.loads(printed(AT_THE_FIRST_LINE, arguments))
    assert said.startswith("reading 1 checkpoint")
    assert heavy == []


def test_a_run_imports_of_lm_eval_only_what_an_adapter_is_made_of() -> None:
    """lm-eval's tasks, evaluator and the datasets library take seconds; nothing of them is asked."""
    code = (
        "import sys, ropepp_eval.runs.execute, ropepp_eval.adapters.native.lm\n"
        "slow = {'lm_eval.api.task', 'lm_eval.evaluator', 'lm_eval.tasks', 'lm_eval.models', 'datasets', 'vllm', 'ray', 'matplotlib'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
