"""What tables say around their numbers: counts where rows are, means of named tasks, merged runs, marks, words and plurals."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.words import counted
from tests.reports.results_folders import PERCENT, FakeCell, write_run

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = (2048, 4096)
OTHERS = [
    "cwe",
    "fwe",
    "vt",
    "qa_squad",
    "qa_hotpotqa",
    "niah_multikey_1",
    "niah_multivalue",
    "niah_multiquery",
    "niah_single_3",
]


@pytest.fixture
def table(capsys):
    def printed(*arguments: object) -> str:
        capsys.readouterr()
        assert main(["table", *map(str, arguments)]) == 0
        return str(capsys.readouterr().out)

    return printed


def two_tasks(folder: Path, names: tuple[str, ...] = ("rope", "ropepp_ec", "nope")) -> Path:
    tasks = ("niah_single_1", "niah_single_2")
    return write_run(
        folder, [FakeCell(checkpoint=name, task=task, length_tokens=n) for name in names for task in tasks for n in LENGTHS]
    )


def means(out: str) -> dict[str, tuple[str, str]]:
    lines = csv.DictReader(io.StringIO(out))
    return {line["checkpoint"]: (line["task"], line["average"]) for line in lines if line["task"].startswith("mean")}


@pytest.mark.parametrize("layout", ["lengths", "tasks", "depth", "paper2"])
def test_counts_stand_only_at_values_that_rows_make(tmp_path, table, layout):
    cells = [FakeCell(length_tokens=n, depths=[5.0] * 4, scores=[1.0, None, 0.0, 1.0]) for n in LENGTHS]
    out = table(write_run(tmp_path / "run", cells), "--layout", layout, "--counts", "rows,failed,cut", "--partial")
    assert "n 0" not in out
    lines = out.splitlines()
    if layout == "lengths":
        assert next(line for line in lines if line.startswith("niah")).split()[-1] == "6"


def test_a_mean_names_its_tasks(tmp_path, table):
    assert "mean of 2 tasks: niah_single_1, niah_single_2\n" in table(two_tasks(tmp_path / "run"))


@pytest.mark.parametrize(
    ("checkpoints", "lengths"),
    [(("rope",), LENGTHS), (("rope",), (2048,)), (("rope", "ropepp_ec", "nope"), (2048,)), (("newcomer",), LENGTHS)],
)
def test_a_stray_run_does_not_change_what_means_are_of(tmp_path, table, checkpoints, lengths):
    """Nine more tasks for one checkpoint, for one length, for all at one length, for another checkpoint."""
    two_tasks(tmp_path / "runs" / "main")
    before = means(table(tmp_path / "runs", "--format", "csv"))
    cells = [
        FakeCell(checkpoint=c, task=task, length_tokens=n, scores=[0.0] * 4)
        for c in checkpoints
        for task in OTHERS
        for n in lengths
    ]
    write_run(tmp_path / "runs" / "stray", cells)
    after = means(table(tmp_path / "runs", "--format", "csv"))
    assert {name: after[name] for name in before} == before == dict.fromkeys(before, ("mean of 2 tasks", "75"))
    assert after.get("newcomer", ("", ""))[1] == ""
    for layout in ("lengths", "tasks"):
        said = table(tmp_path / "runs", "--layout", layout)
        assert "not in the mean, since other checkpoints or lengths lack them: cwe, fwe, niah_multikey_1" in said
        assert "(from stray)" in said


def test_a_newcomer_with_fewer_tasks_changes_no_mean_and_has_none(tmp_path, table):
    two_tasks(tmp_path / "runs" / "main")
    write_run(tmp_path / "runs" / "late", [FakeCell(checkpoint="late", length_tokens=n) for n in LENGTHS])
    after = means(table(tmp_path / "runs", "--format", "csv"))
    assert after.pop("late") == ("mean of 2 tasks", "")
    assert set(after.values()) == {("mean of 2 tasks", "75")}


def test_of_two_checkpoints_the_tasks_count_that_both_have(tmp_path, table):
    two_tasks(tmp_path / "runs" / "main", ("rope",))
    cells = [FakeCell(checkpoint="ropepp_ec", task=task) for task in ("niah_single_1", "niah_single_2", *OTHERS)]
    write_run(
        tmp_path / "runs" / "more", [c for cell in cells for c in (cell, FakeCell(**{**vars(cell), "length_tokens": 2048}))]
    )
    assert set(means(table(tmp_path / "runs", "--format", "csv")).values()) == {("mean of 2 tasks", "75")}


def test_parts_of_a_divided_run_make_one_mean(tmp_path, table):
    for i, task in enumerate(("niah_single_1", "niah_single_2", "vt")):
        write_run(tmp_path / "runs" / str(i), [FakeCell(checkpoint=c, task=task) for c in ("rope", "nope")])
    assert set(means(table(tmp_path / "runs", "--format", "csv")).values()) == {("mean of 3 tasks", "75")}


MIXED = [
    ("dtype", "float32", "bfloat16"),
    ("backend", "native", "vllm"),
    ("device", "cpu", "cuda:0"),
    ("attention", "sdpa", "eager"),
]


@pytest.mark.parametrize(("setting", "one", "other"), MIXED)
def test_a_cell_from_runs_that_computed_differently_says_so_or_is_refused(tmp_path, table, capsys, setting, one, other):
    write_run(tmp_path / "runs" / "first", [FakeCell(), FakeCell(task="vt")], **{setting: one})
    write_run(tmp_path / "runs" / "second", [FakeCell(), FakeCell(task="vt")], **{setting: other})
    low, high = sorted((one, other))
    said = f"({setting} {low} and {high}; folders first and second)"
    wanted = f"put together from runs that computed differently {said}: rope, niah_single_1 at 4k"
    out = table(tmp_path / "runs")
    assert wanted in out
    assert "and 1 other cell\n" in out
    for command in (["table"], ["plot", "--out", tmp_path / "plots"], ["compare", "rope", "nope"]):
        assert main([*map(str, command), str(tmp_path / "runs"), "--strict"]) == 2
        refused = capsys.readouterr().err
        assert said in refused
        assert "--latest" in refused
    assert "put together" not in table(tmp_path / "runs", "--latest", "--strict")


def test_what_auto_became_is_what_counts(tmp_path, table):
    for name, dtype in (("first", "float32"), ("second", "bfloat16")):
        run = write_run(tmp_path / "runs" / name, [FakeCell()], dtype="auto")
        manifest = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**manifest, "ran": {"rope": {"model_dtype": dtype}}}))
    assert "(dtype bfloat16 and float32; folders first and second)" in table(tmp_path / "runs")


@pytest.mark.parametrize("layout", ["lengths", "tasks"])
def test_accuracy_is_shown_plain_and_normalised(tmp_path, table, layout):
    cell = FakeCell(benchmark="openbookqa", task="openbookqa", metric="acc")
    cell.scores = [{"acc": 1.0, "acc_norm": 0.0}, {"acc": 0.0, "acc_norm": 0.0}]
    run = write_run(tmp_path / "run", [cell])
    manifest = json.loads((run / "run.json").read_text())
    manifest["tasks"]["openbookqa"]["metrics"]["acc_norm"] = PERCENT
    (run / "run.json").write_text(json.dumps(manifest))
    lines = list(csv.DictReader(io.StringIO(table(run, "--layout", layout, "--format", "csv"))))
    column = {"lengths": "4k", "tasks": "openbookqa"}[layout]
    assert {line["metric"]: line[column] for line in lines} == {"acc": "50", "acc_norm": "0"}
    assert "acc_norm" not in table(run, "--layout", layout, "--metric", "acc")


@pytest.mark.parametrize(("names", "second"), [(("a", "b"), False), (("a", "b", "c"), True)])
@pytest.mark.parametrize("flag", [(), ("--significant",)])
def test_the_second_is_spoken_of_only_where_one_is_marked(tmp_path, table, names, second, flag):
    cells = [FakeCell(checkpoint=name, scores=[1.0] * (40 - 18 * i) + [0.0] * 18 * i) for i, name in enumerate(names)]
    out = table(write_run(tmp_path / "run", cells), *flag)
    assert "marked: best (bold, *)" in out
    assert ("second (underlined, +)" in out) == second == ("+" in out.replace("underlined, +", ""))


def test_every_word_of_a_table_is_explained(tmp_path, table):
    cells = [FakeCell(scores=[1.0, None], length_tokens=n) for n in LENGTHS]
    out = table(write_run(tmp_path / "run", cells), "--counts", "rows,failed,cut,fill")
    for start in ("average: ", "n: ", "n after a value: ", "failed: ", "cut: ", "fill: ", "2 failed rows left out"):
        assert start in out
    out = table(tmp_path / "run")
    assert "n after a value" not in out
    assert "failed: " not in out


def test_one_is_never_many():
    assert [counted(number, "row") for number in (0, 1, 2, 1024)] == ["0 rows", "1 row", "2 rows", "1,024 rows"]
    assert (counted(1, "batch", "batches"), counted(2, "batch", "batches")) == ("1 batch", "2 batches")


def test_a_run_of_one_row_speaks_of_one(tmp_path, capsys):
    arguments = [
        "run",
        ROOT / "models/demo/rope",
        "--tasks",
        "niah_single_1",
        "--lengths",
        "256",
        "--samples",
        "1",
        "--offline",
    ]
    assert main([*map(str, arguments), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "plan: 1 cell, 1 row, " in said.err
    assert re.search(r"trained at\n.* 512$", said.err, re.MULTILINE)
    wrong = re.findall(r"(?<![\d.,])1 [a-z]+s\b(?! is)", said.err + said.out)
    assert not [one for one in wrong if one not in ("1 s",)]
