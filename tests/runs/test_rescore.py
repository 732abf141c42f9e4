"""Stored answers scored again: what changed is said, what is stored stays whole, and what can't be scored again is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.records import line_of, parse_line
from ropepp_eval.rows import task_folders
from ropepp_eval.rows.catalogue import load_task_folder, task_entries
from ropepp_eval.rows.scorers import scorer_in_words, scorer_sha256
from ropepp_eval.runs import rescore as rescoring
from ropepp_eval.runs.rescore import rescore
from ropepp_eval.runs.store import RunStore
from tests.cli.test_bad_input import refusal


@pytest.fixture
def run(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, and a process that knows no task folder of the user's."""
    monkeypatch.setattr(task_folders, "_loaded", {})
    return Path(shutil.copytree(first, tmp_path / "run"))


Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edited(passkey: Path, tmp_path: Path) -> Edit:
    """The task's folder with one text of one file replaced, as a folder of its own that is known from then on."""

    def edit(file: str, old: str, new: str) -> Path:
        folder = Path(shutil.copytree(passkey, tmp_path / "edited" / "passkey"))
        assert old in (folder / file).read_text()
        (folder / file).write_text((folder / file).read_text().replace(old, new))
        load_task_folder(folder)
        return folder

    return edit


def records(folder: Path, task: str = "") -> list[dict[str, Any]]:
    lines = [
        line for path in sorted(folder.glob(f"rows/*/{task}*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)
    ]
    return [record for record in (parse_line(line)[0] for line in lines) if record is not None]


def rows_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("rows/*/*.jsonl"))}


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


ALL_RIGHT = ("judge.py", "float(", "1.0 or float(")


def test_the_scorers_version_is_of_its_code_and_not_of_the_builders(passkey: Path, edited: Edit, run: Path) -> None:
    stored = {record["task"]: record["scorer_sha256"] for record in records(run)}
    load_task_folder(passkey)
    assert scorer_sha256(task_entries()["passkey"]) == stored["passkey"]
    assert "judge.scores" in scorer_in_words(task_entries()["passkey"])
    task_folders._loaded.clear()
    edited("hooks.py", "The grass is green.", "The grass is blue.")
    assert scorer_sha256(task_entries()["passkey"]) == stored["passkey"], "the builder is no scorer, nor is where it lies"
    assert {task: scorer_sha256(task_entries()[task]) for task in stored} == stored


@pytest.mark.parametrize("change", [ALL_RIGHT, ("passkey.yaml", "version: 1", "version: 2")], ids=lambda change: change[0])
def test_another_scorer_is_another_version(change: tuple[str, str, str], edited: Edit, run: Path) -> None:
    edited(*change)
    assert scorer_sha256(task_entries()["passkey"]) != records(run, "passkey")[0]["scorer_sha256"]


def test_nothing_is_written_where_no_scorer_changed(passkey: Path, run: Path) -> None:
    load_task_folder(passkey)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    found = rescore(run)
    assert not found.written
    assert [(cell.rows, cell.current) for cell in found.cells] == [(3, 3)] * 3
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"} == before


def test_a_changed_scorer_says_what_changed(edited: Edit, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = edited(*ALL_RIGHT)
    before = rows_of(run)
    command = ["rescore", str(run), "--task-folder", str(folder)]
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"passkey +1k +found +3 +3 +0\.0 +100\.0$", said, re.MULTILINE)
    assert "3 rows scored again: 3 changed; 6 left as they are\nnothing was written (--dry-run)" in said
    assert rows_of(run) == before
    assert main([*command, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["written"] is True
    assert [(cell["task"], cell["changed"], cell["before"], cell["after"]) for cell in content["cells"]] == [
        ("passkey", 3, 0.0, 1.0)
    ]
    assert manifest(run)["rescored"][0]["cells"] == content["cells"]
    assert {record["scores"]["found"] for record in records(run, "passkey")} == {1.0}
    assert {name: content for name, content in rows_of(run).items() if "passkey" not in name} == {
        name: content for name, content in before.items() if "passkey" not in name
    }
    assert main(["table", str(run)]) == 0
    assert re.search(r"^passkey .* 100\.0 ", capsys.readouterr().out, re.MULTILINE)
    assert main(command) == 0
    assert capsys.readouterr().out == "0 rows scored again: 0 changed; 9 left as they are\n"


def test_there_and_back_gives_the_same_bytes(passkey: Path, edited: Edit, run: Path) -> None:
    before = rows_of(run)
    edited(*ALL_RIGHT)
    rescore(run)
    task_folders._loaded.clear()
    load_task_folder(passkey)
    assert rescore(run).cells[1].means == (1.0, 0.0)
    assert rows_of(run) == before


def test_a_kill_between_two_files_loses_nothing(edited: Edit, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in run.glob("rows/*/passkey*.jsonl"):  # two files that change
        shutil.copy(path, path.with_name("passkey@2048.jsonl"))
    edited(*ALL_RIGHT)
    real = rescoring.write_atomically
    written: list[Path] = []

    def once(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(rescoring, "write_atomically", once)
        with pytest.raises(KeyboardInterrupt):
            rescore(run)
    assert [record["scores"]["found"] for record in records(run, "passkey")] == [1.0] * 3 + [0.0] * 3
    assert len(manifest(run)["rescored"]) == 1
    rescore(run)
    assert [record["scores"]["found"] for record in records(run, "passkey")] == [1.0] * 6


def test_lines_that_can_not_be_read_stay_as_they_are(edited: Edit, run: Path) -> None:
    (path,) = run.glob("rows/*/passkey*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(b"damaged\n" + whole + b'{"cut')
    edited(*ALL_RIGHT)
    rescore(run)
    content = path.read_bytes()
    assert content.startswith(b"damaged\n{")
    assert content.endswith(b'}\n{"cut')
    assert len(records(run, "passkey")) == 3


def test_a_scorer_that_fails_is_counted_and_mended_later(passkey: Path, edited: Edit, run: Path) -> None:
    before = rows_of(run)
    edited("judge.py", "float(", "float('x') or float(")
    rescore(run, tasks=["passkey"])
    assert {record["error"]["type"] for record in records(run, "passkey")} == {"ValueError"}
    assert manifest(run)["failures"][0].startswith("3 of 9 rows failed: 3 in score (ValueError")
    task_folders._loaded.clear()
    load_task_folder(passkey)
    rescore(run)
    assert manifest(run)["failures"] == []
    assert rows_of(run) == before


def as_earlier_releases_wrote(folder: Path) -> None:
    """Lines without question, choices and the scorer's version."""
    for path in folder.glob("rows/*/*.jsonl"):
        lines = [parse_line(line)[0] or {} for line in path.read_bytes().splitlines(keepends=True)]
        new = ("question", "choices", "gold", "scorer_sha256")
        path.write_bytes(b"".join(line_of({k: v for k, v in line.items() if k not in new}) for line in lines))


def test_lines_of_earlier_releases_make_their_rows_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [record["scores"] for record in records(run, "openbookqa")]
    as_earlier_releases_wrote(run)
    (cell, *others) = [cell for cell in rescore(run, tasks=["openbookqa"]).cells if cell.rows > cell.current]
    assert not others
    assert (cell.rows, cell.changed) == (3, 0)
    assert [record["scores"] for record in records(run, "openbookqa")] == scores
    assert all("scorer_sha256" in record for record in records(run, "openbookqa"))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            "openbookqa",
            "row 0 of openbookqa at 1k can't be scored again: its gold can't be made again: its tokenizer is not here",
        ),
        (
            "wikitext_positions",
            "log-probabilities of the tokens of a window are not kept, only their sums; name the other tasks",
        ),
        ("passkey", "task passkey is not known here; if it is one of your own, name its folder with --task-folder"),
        ("pass", "unknown task 'pass'; did you mean passkey"),
    ],
)
def test_data_that_is_gone_is_refused_and_nothing_is_written(
    task: str, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_earlier_releases_wrote(run)
    content = manifest(run)
    for command in (content, *content["history"]):
        command["arguments"]["checkpoints"] = ["nowhere"]
    (run / "run.json").write_text(json.dumps(content))
    before = (run / "run.json").read_bytes(), rows_of(run)
    assert said in refusal(capsys, "rescore", run, "--task", task)
    assert ((run / "run.json").read_bytes(), rows_of(run)) == before


def test_what_is_no_run_or_is_being_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "is no run folder (it holds no run.json)" in refusal(capsys, "rescore", tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    with RunStore.reopen(run):
        assert "is being written by another process" in refusal(capsys, "rescore", run)
    (run / "run.json").write_text("{}")
    assert "restore the file" in refusal(capsys, "rescore", run)
