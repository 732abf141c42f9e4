"""Results with everything that stored rows may hold, hostile names and answers included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.records import line_of
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.share.contents import Shared, shared_of
from tests.reports.results_folders import PERPLEXITY, FakeCell, rows_file, write_run

HOSTILE = '"><img src=x onerror=alert(1)>'
ANSWERS = [
    "</script><script>alert(1)</script>\u202e\x1b[31m",
    "half \ud800 a character",
    "line\u2028separator\x85 7",
    "7" * 20_000,
]
CELLS = [
    FakeCell(scores=(1.0, 0.0, 0.5, None), depths=(5.0, 45.0, 60.0, 95.0), clusters=("a", "a", "b", "c")),
    FakeCell(length_tokens=8192, protocol="paper", scores=(1.0, 1.0, 0.0, 1.0), stand_in=True),
    FakeCell(task="wiki", benchmark="wikitext", metric="word_perplexity", rule=PERPLEXITY, scores=([3.0, 2.0], [9.0, 4.0])),
    FakeCell(task="../../up", benchmark="CON", length_tokens=0, scores=(1.0, 0.0)),
    FakeCell(checkpoint=HOSTILE, scores=(1.0, {"score": float("inf")}, 0.25, 1.0)),
    FakeCell(checkpoint="org/all-failed", scores=(None, None)),
]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `CELLS`; its first cell has hostile answers, its second choices."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", CELLS)
    first = [CELLS[0].line(row) | {"responses": [ANSWERS[row]], "question": "Which <number>?"} for row in range(4)]
    choices = {"choices": [" red", " blue"], "gold": 0, "responses": [[-1.0, True], [-2.0, False]]}
    second = [CELLS[1].line(row) | choices for row in range(4)]
    for cell, lines in ((CELLS[0], first), (CELLS[1], second)):
        rows_file(folder, cell).write_bytes(b"".join(map(line_of, lines)))
    return folder


@pytest.fixture
def shared(run: Path) -> Shared:
    """With prompts that say which row they are of."""
    return shared_of(read_cells(run), lambda view: f"prompt {view.number} \ud800")


def share(run: Path, form: str, out: Path, *more: str) -> Path:
    """`ropepp-eval share` with status 0; the folder it wrote."""
    assert main(["share", str(run), "--to", form, "--out", str(out), *more]) == 0
    return out


def json_lines(path: Path) -> list[dict[str, object]]:
    """Objects of a `.jsonl` file, split as programs in other languages split it."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
