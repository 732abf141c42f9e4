"""`rows --show`: one row whole, its prompt made again and proven by its hash, or why it can't be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.rows import task_folders
from ropepp_eval.rows.catalogue import load_task_folder
from ropepp_eval.rows.row import LONGEST_QUESTION, Row
from ropepp_eval.runs.shown_row import END_CHARACTERS

TEXT, CHOICES, WINDOWS = 0, 3, 6
"""Numbers of the first row of each task of the run."""


@pytest.fixture
def run(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(task_folders, "_loaded", {})
    return Path(shutil.copytree(first, tmp_path / "run"))


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main(["rows", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    return dict(json.loads(shown(capsys, *arguments, "--format", "json")))


def test_a_row_whole(run: Path, passkey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, run, "--task-folder", passkey, "--show", TEXT)
    assert "\nquestion    The pass key to " in text
    assert "\nscore       found 0.0 (wrong by found)\n" in text
    assert "\nrule        ropepp_eval_tasks_passkey_" in text
    assert "\ntokens      prompt " in text
    assert "prompt, made again and the same by the row's hash (" in text
    assert text.count("The pass key to") >= 2
    assert "scores again" not in text, "the scorer is the one that scored it"


def test_the_prompts_ends_and_its_middle_left_out(run: Path, passkey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = as_json(capsys, run, "--task-folder", passkey, "--show", TEXT)["prompt"]
    assert len(prompt["head"]) == len(prompt["tail"]) == END_CHARACTERS
    assert prompt["characters"] == 2 * END_CHARACTERS + prompt["left_out"]
    assert prompt["tail"].endswith(" is:")


def test_choices_are_shown_with_the_right_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = as_json(capsys, run, "--show", CHOICES)["rows"]
    text = shown(capsys, run, "--show", CHOICES)
    assert f"\nreferences  {json.dumps(row['references'])}\n" in text
    assert f"\nanswer      {json.dumps(row['answer'])}\n" in text
    assert row["references"][0] in json.loads(next(line for line in text.splitlines() if line.startswith("choices"))[12:])


def test_windows_of_a_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = as_json(capsys, run, "--show", WINDOWS)["rows"]
    assert (row["outcome"], row["question"], row["answer"]) == ("scored", None, "")
    assert row["score"] > 1


@pytest.mark.parametrize(
    ("number", "why"),
    [(TEXT, "task passkey is not known here"), (CHOICES, "its tokenizer is not here (")],
)
def test_why_a_prompt_can_not_be_made_again(number: int, why: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    for command in (manifest, *manifest["history"]):
        command["arguments"]["checkpoints"] = ["nowhere"]
    (run / "run.json").write_text(json.dumps(manifest))
    assert f"\nprompt      can't be made again: {why}" in shown(capsys, run, "--show", number)
    assert why in as_json(capsys, run, "--show", number)["prompt_missing"]


def test_a_tokenizer_that_lies_elsewhere_now(run: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    for command in (manifest, *manifest["history"]):
        command["arguments"]["checkpoints"] = ["nowhere"]
    (run / "run.json").write_text(json.dumps(manifest))
    assert as_json(capsys, run, "--show", CHOICES, "--tokenizer", tiny_checkpoint)["prompt"] is not None
    other = Path(__file__).resolve().parents[2] / "models" / "tokenizer"
    assert "holds another tokenizer" in as_json(capsys, run, "--show", CHOICES, "--tokenizer", other)["prompt_missing"]


def test_another_row_is_not_shown_for_it(
    run: Path, passkey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task makes other prompts now: the hash says so, and nothing wrong is shown."""
    edited = Path(shutil.copytree(passkey, tmp_path / "edited" / "passkey"))
    (edited / "hooks.py").write_text((edited / "hooks.py").read_text().replace("The grass is green.", "The grass is blue."))
    load_task_folder(edited)
    content = as_json(capsys, run, "--show", TEXT)
    assert content["prompt"] is None
    assert "comes out otherwise now (its hash is not that of the line)" in content["prompt_missing"]


def test_two_checkpoints_answers_side_by_side(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second checkpoint that answers a row rightly."""
    text = "".join(path.read_text() for path in run.glob("rows/*/openbookqa*.jsonl"))
    row = json.loads(text.splitlines()[0])
    row |= {
        "checkpoint": "other",
        "checkpoint_sha256": "0" * 64,
        "format": 1,
        "scores": {"acc": 1.0 - row["scores"]["acc"], "acc_norm": 1.0},
    }
    del row["checksum"]
    other = tmp_path / "other"
    (other / "rows" / "other-00000000").mkdir(parents=True)
    (other / "rows" / "other-00000000" / "openbookqa@1024.jsonl").write_text(json.dumps(row) + "\n")
    manifest = json.loads((run / "run.json").read_text()) | {"run_id": "other", "cells": []}
    (other / "run.json").write_text(json.dumps(manifest))
    both = shown(capsys, run, other, "--differ", "tiny", "other", "--show", CHOICES)
    assert both.count("\nquestion ") == 1
    assert f"\ntiny (number {CHOICES})\n" in both
    assert "\nother (number 9)\n" in both


def test_the_question_is_the_end_of_the_prompt() -> None:
    def question(prompt: str, **fields: Any) -> str:
        return Row(task="t", length_tokens=0, row=0, prompt=prompt, prompt_tokens=0, **fields).question

    assert (
        question("Noise.\nWhat is the number that was hidden in the text?")
        == "What is the number that was hidden in the text?"
    )
    assert question("Noise " * 20 + "\nQuestion: what shines?\nAnswer:").endswith("\nQuestion: what shines?\nAnswer:")
    assert question("Noise. Answer:", details={"question": " Where is Mary? "}) == "Where is Mary?"
    assert question("a" * 1000) == "a" * LONGEST_QUESTION
    assert question("A text that is only read.", window_tokens=8) == ""
