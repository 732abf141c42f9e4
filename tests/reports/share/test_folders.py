"""What is written is whole or not there, never over something else; what can't be shared is said in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import Cells, read_cells
from ropepp_eval.reports.share import forms
from ropepp_eval.reports.share.contents import Shared, shared_of
from ropepp_eval.reports.share.folders import MARK, shared_folder
from ropepp_eval.runs.prompts import Prompts
from tests.cli.test_bad_results import refusal, shown
from tests.reports.results_folders import FakeCell, write_run
from tests.reports.share.conftest import share


def test_an_earlier_share_is_replaced_whole(run: Path, tmp_path: Path) -> None:
    out = share(run, "lm-eval", tmp_path / "new" / "out")
    share(run, "parquet", out)
    assert {path.name for path in out.iterdir()} == {MARK, "rows.parquet", "cells.parquet", "DICTIONARY.md"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("form", ["every-eval-ever", "lm-eval", "parquet"])
def test_the_same_results_make_the_same_files(form: str, run: Path, tmp_path: Path) -> None:
    made = [share(run, form, tmp_path / name) for name in ("one", "two")]
    first, second = ({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} for out in made)
    assert first == second
    assert not any(str(tmp_path.parent).encode() in content for content in first.values())  # no path of this machine


@pytest.mark.parametrize("mark", [None, "", "[]", '{"files": 3}', '{"files": ["other"]}'])
def test_a_folder_of_somebody_elses_stays(
    mark: str | None, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    if mark is not None:
        (out / MARK).write_text(mark)
    assert "holds 'thesis.tex', which `ropepp-eval share` did not write" in refusal(
        capsys, "share", run, "--to", "parquet", "--out", out
    )
    assert (out / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_added_to_a_share_keeps_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = share(run, "parquet", tmp_path / "out")
    (out / "notes").mkdir()
    (out / "notes" / "mine.md").write_text("notes")
    assert "holds 'notes/mine.md'" in refusal(capsys, "share", run, "--to", "parquet", "--out", out)


def test_results_are_no_place_to_write_to(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, said in ((run, "lies in"), (run / "shared", "lies in"), (run.parent, "holds the results folder")):
        assert said in refusal(capsys, "share", run, "--to", "parquet", "--out", out)


def test_a_file_is_no_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refusal(capsys, "share", run, "--to", "parquet", "--out", tmp_path / "file")


def test_nothing_is_left_of_one_that_fails(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill_the_disk(shared: Shared, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device", str(folder))

    kept = share(run, "parquet", tmp_path / "kept")
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    monkeypatch.setitem(forms.FORMS, "parquet", forms.Form(fill_the_disk, ""))
    for out in (kept, tmp_path / "a" / "b" / "new"):
        assert "No space left" in refusal(capsys, "share", run, "--to", "parquet", "--out", out)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with shared_folder(tmp_path / "out", "parquet", []) as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "every-eval-evr"], "unknown form 'every-eval-evr'; did you mean every-eval-ever?"),
        (["--to", "parquet"], "name a new one with --out, such as --out shared/parquet"),
        (["--to", "card", "--prompts"], "a model card holds no prompts"),
        (["--to", "parquet", "--out", "x", "--data-dir", "d"], "add --prompts"),
        (["--to", "parquet", "--out", "x", "--checkpoint", "roep"], "unknown checkpoint 'roep'; did you mean rope?"),
    ],
)
def test_what_can_not_be_asked(arguments: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refusal(capsys, "share", run, *arguments)


@pytest.mark.parametrize(
    ("scores", "said"), [((), "hold no row yet"), ((None, None), "all of 2 rows failed (ValueError: made by the test)")]
)
@pytest.mark.parametrize("form", forms.NAMES)
def test_results_without_a_score(
    scores: tuple[None, ...], said: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(forms.FORMS, "inspect", replace(forms.FORMS["inspect"], check=lambda: None))  # installed or not
    run = write_run(tmp_path / "run", [FakeCell(scores=scores)])
    assert said in refusal(capsys, "share", run, "--to", form, "--out", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_another_format_release(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = write_run(tmp_path / "results" / "later", [FakeCell(checkpoint="b")])
    manifest = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps(manifest | {"format": 9}))
    said = "later/run.json: format 9, this release reads 1 and 2"
    assert said in refusal(capsys, "share", later, "--to", "parquet", "--out", tmp_path / "out")
    write_run(tmp_path / "results" / "now", [FakeCell()])
    assert f"left out: {said}" in shown(capsys, "share", later.parent, "--to", "parquet", "--out", tmp_path / "out")


def test_prompts_that_can_not_be_made_are_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "share", run, "--to", "lm-eval", "--prompts", "--out", tmp_path / "out")
    assert "--prompts: the prompt of row 0 of rope, niah_single_1 at 4k" in said
    assert not list(tmp_path.iterdir())


def test_nothing_is_shared_of_no_cell() -> None:
    with pytest.raises(UserError, match="hold no row yet"):
        shared_of(Cells((), (), {}))


@pytest.mark.slow
def test_real_prompts_are_made_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from ropepp_eval.cli import main

    options = [
        "--tasks",
        "niah_single_1",
        "--lengths",
        "512",
        "--samples",
        "2",
        "--offline",
        "--quiet",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["run", str(tiny_checkpoint), *options]) == 0
    shared = shared_of(read_cells(tmp_path / "run"), Prompts().of_all)
    prompts = [shared.prompt_of(view) for view in shared.views if shared.prompt_of]
    assert len(set(prompts)) == 2
    assert all(view.references[0] in prompt for view, prompt in zip(shared.views, prompts, strict=True))
