"""Result files that lm-eval itself wrote fill Table 1: its values, errors and counts, marked as its own; damage is named."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from ropepp_eval.cli import compare as compare_command
from ropepp_eval.cli import main
from ropepp_eval.cli import table as table_command
from ropepp_eval.errors import UserError
from ropepp_eval.paths import resource_dir
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.frame import read_results, read_rows
from ropepp_eval.reports.published import published_names, published_table
from ropepp_eval.rows.catalogue import task_groups
from tests.conftest import make_tiny_checkpoint
from tests.reports.lm_eval_suite import MEMBERS, QUESTIONS, evaluate, write_tasks
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, write_run
from tests.warm.start import Warm

pytestmark = pytest.mark.slow  # lm-eval runs once, in a process of its own


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_tokenizer_dir: Path, warm: Warm) -> Path:
    """lm-eval's files of the short suite for one checkpoint, and of two of its tasks for another."""
    folder = tmp_path_factory.mktemp("lm-eval")
    other = make_tiny_checkpoint(folder / "other", tiny_tokenizer_dir, seed=2)
    return evaluate(folder / "results", write_tasks(folder / "tasks"), {tiny_checkpoint: "short", other: "piqa,cb"}, warm)


@pytest.fixture
def results(written: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled."""
    return Path(shutil.copytree(written, tmp_path / "results"))


def results_file(folder: Path, model: str = "tiny") -> Path:
    (found,) = folder.glob(f"*{model}/results_*.json")
    return found


def samples_file(folder: Path, task: str, model: str = "tiny") -> Path:
    (found,) = folder.glob(f"*{model}/samples_{task}_*.jsonl")
    return found


def content(folder: Path, model: str = "tiny") -> dict[str, Any]:
    return json.loads(results_file(folder, model).read_text())


def paper1(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, dict[str, str]]:
    """Lines of `--layout paper1` by checkpoint and source."""
    out = printed(table_command, capsys, *arguments, "--layout", "paper1", "--format", "csv")
    return {f"{line['checkpoint']} {line.get('source', '')}".strip(): line for line in csv.DictReader(io.StringIO(out))}


def test_the_columns_of_table_1_hold_lm_evals_values(written, capsys):
    line = paper1(capsys, written)["tiny"]
    wrote = content(written)
    names = {column.title: set(column.tasks) & set(MEMBERS) for column in published_table("paper1").columns}
    expected = {title: tasks for title, tasks in names.items() if len(tasks) == 1}
    for title in ("WikiText ppl", "LAMBADA ppl"):
        assert line[title] == ""
    assert len(expected) == 8
    for title, (task,) in expected.items():
        metric = "acc_norm" if task == "hellaswag" else "acc"
        assert float(line[title]) == pytest.approx(100 * wrote["results"][task][f"{metric},none"]), task
    assert float(line["SuperGLUE"]) == pytest.approx(100 * wrote["groups"]["short_super_glue"]["acc,none"])
    shown = [float(line[title]) for title in (*expected, "SuperGLUE")]
    assert float(line["average"]) == pytest.approx(sum(shown) / 9)


def test_error_and_count_of_every_metric_are_lm_evals(written):
    frame = read_results(written).set_index(["checkpoint", "task", "metric"])
    for model in ("tiny", "other"):
        wrote = content(written, model)["results"]
        measured = {(task, key.split(",")[0]) for task in MEMBERS for key in wrote.get(task, {}) if key.endswith(",none")}
        plain = {(task, key) for task, key in measured if not key.endswith("_stderr")}
        assert {key[1:] for key in frame.index if key[0] == model} == plain
        for task, metric in plain:
            line = frame.loc[model, task, metric]
            assert line["value"] == pytest.approx(wrote[task][f"{metric},none"])
            assert line["rows"] == QUESTIONS
            error = wrote[task][f"{metric}_stderr,none"]
            assert line["stderr"] == pytest.approx(float("nan") if error == "N/A" else error, nan_ok=True)


def test_every_row_is_there_with_its_answer(written):
    rows = read_rows(written)
    assert len(rows) == (len(MEMBERS) + 2) * QUESTIONS
    assert rows["row_sha256"].nunique() == len(MEMBERS) * QUESTIONS
    assert all(rows["responses"].map(len) > 0)


def test_shared_in_lm_evals_form_they_stay_what_lm_eval_said(written, tmp_path):
    """Values that only lm-eval can make from rows come back as reported, too."""
    assert main(["share", str(written), "--to", "lm-eval", "--out", str(tmp_path / "shared")]) == 0
    names = ["checkpoint", "benchmark", "task", "metric"]
    kept = [*names, "value", "stderr", "rows", "aggregation", "scale", "higher_is_better", "primary"]
    before, after = (
        read_results(folder)[kept].sort_values(names, ignore_index=True) for folder in (written, tmp_path / "shared")
    )
    assert_frame_equal(after, before)
    assert {cell.settings["harness"] for cell in read_cells(tmp_path / "shared").cells} == {"lm-eval 0.4.13"}


def test_the_protocol_and_its_difference_are_said(written, capsys):
    out = printed(
        table_command, capsys, written, "--layout", "paper1", "--compare", "published", "--as", "tiny=376M/short/RoPE"
    )
    assert "Table 1: short-context tasks (protocol reference)" in out
    assert "from files of lm-eval 0.4.13, by its own definitions (the paper's numbers are OpenCompass's): arc_easy" in out
    assert "columns from lm-eval 0.4.13 hold its definitions, the published ones OpenCompass's" in out


def test_a_run_of_the_same_checkpoint_stands_in_the_same_line(written, tmp_path, capsys):
    told = content(written)["config"]["checkpoint"]
    pairs = [(100.0, 50.0), (110.0, 50.0)]
    facts = {"checkpoint": "tiny", "sha256": told["sha256"], "length_tokens": 4096, "benchmark": "lambada"}
    cell = FakeCell(**facts, task="lambada_sliding", metric="ppl", rule=PERPLEXITY, scores=pairs)
    lines = paper1(capsys, write_run(tmp_path / "run", [cell]), written)
    assert set(lines) == {"tiny", "other"}
    assert float(lines["tiny"]["LAMBADA ppl"]) == pytest.approx(8.166, abs=1e-3)
    assert lines["tiny"]["PIQA"] != ""


def test_two_checkpoints_are_compared_row_by_row(written, capsys):
    out = printed(compare_command, capsys, "tiny", "other", written, "--format", "csv")
    lines = {line["what"]: line for line in csv.DictReader(io.StringIO(out))}
    assert set(lines) == {"piqa", "cb"}
    assert {line["rows"] for line in lines.values()} == {str(QUESTIONS)}
    assert {line["unpaired"] for line in lines.values()} == {"0"}
    assert {line["length"] for line in lines.values()} == {"any"}


def test_without_samples_the_values_stand_alone_with_their_intervals_and_are_not_tested(results, capsys):
    whole = paper1(capsys, results, "--ci")["tiny"]
    for path in results.glob("*/samples_*.jsonl"):
        path.unlink()
    alone = paper1(capsys, results, "--ci")["tiny"]
    numbers = [
        name for name in whole if whole[name] and name not in ("size", "stage", "method", "checkpoint", "table", "protocol")
    ]
    derived = {"SuperGLUE low", "SuperGLUE high", "average low", "average high"}  # of averages there are no intervals then
    assert len(numbers) == 3 * 10
    assert {name for name in numbers if not alone[name]} == derived
    assert [float(alone[name]) for name in numbers if alone[name]] == pytest.approx(
        [float(whole[name]) for name in numbers if alone[name]]
    )
    assert "without rows, so not tested" in printed(table_command, capsys, results)
    with pytest.raises(UserError, match="tiny has no rows to compare; run it again, and lm-eval with --log_samples"):
        printed(compare_command, capsys, "tiny", "other", results)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (b"{", "not readable"),
        (b"[]", "not lm-eval's results"),
        (b'{"results": {}, "configs": 1}', "no `configs`"),
        (b'{"results": {}, "configs": {}}', "no `config`"),
        (b'{"results": {}, "configs": {}, "config": {}}', "no `model_name` in it"),
        (
            b'{"results": {}, "configs": {}, "config": {}, "model_name": "x"}',
            "none of its `results` is a task with a metric",
        ),
    ],
)
def test_a_damaged_results_file_is_named_and_the_others_go_on(results, capsys, spoilt, said):
    path = results_file(results)
    path.write_bytes(spoilt)
    out = printed(table_command, capsys, results)
    assert f"damaged, left out: {path.name}: " in out
    assert said in out
    assert "other" in out
    assert main(["table", str(path.parent)]) == 2
    assert capsys.readouterr().err.startswith(f"error: no run could be read: {path.name}: ")


def test_a_damaged_line_of_samples_is_named_and_the_cell_marked(results, capsys):
    path = samples_file(results, "piqa")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:50] + b"\n" + b"".join(lines[2:]))
    out = printed(table_command, capsys, results)
    assert f"damaged, left out: {path.name}, line 2: not JSON" in out
    assert f"({QUESTIONS - 1} of {QUESTIONS} rows)" in out
    frame = read_results(results).set_index(["checkpoint", "task", "metric"])
    assert frame.loc["tiny", "piqa", "acc"]["damaged"] == 1
    assert frame.loc["tiny", "cb", "acc"]["damaged"] == 0


def test_samples_that_contradict_the_results_are_left_out_and_named(results, capsys):
    path = samples_file(results, "piqa")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["acc"] = 1.0 - lines[0]["acc"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = printed(table_command, capsys, results, "--layout", "paper1")
    assert f"damaged, left out: {path.name}: its rows give acc " in out
    line = paper1(capsys, results)["tiny"]
    assert line["PIQA"] == ""
    assert line["HellaSwag"] != ""


def test_scores_that_are_not_finite_are_left_out_and_counted(results):
    path = samples_file(results, "piqa")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["acc"] = float("nan")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    line = read_results(results).set_index(["checkpoint", "task", "metric"]).loc["tiny", "piqa", "acc"]
    assert (line["rows"], line["not_finite"]) == (QUESTIONS - 1, 1)


def test_the_same_evaluation_twice_merges_and_another_is_refused(results, capsys):
    path = results_file(results)
    again = path.with_name("results_2030-01-01T00-00-00.json")
    shutil.copy(path, again)
    before = paper1(capsys, results)["tiny"]
    spoilt = json.loads(path.read_text())
    spoilt["results"]["winogrande"]["acc,none"] = 0.987
    spoilt["date"] += 10
    again.write_text(json.dumps(spoilt))
    with pytest.raises(UserError, match=r"tiny, winogrande at any, protocol reference: .* disagree on acc; leave one out"):
        paper1(capsys, results)
    assert float(paper1(capsys, results, "--latest")["tiny"]["WinoGrande"]) == pytest.approx(98.7)
    assert before["WinoGrande"] != "98.7"


def test_files_of_another_model_are_read_with_what_lm_eval_knows(results, capsys):
    path = results_file(results)
    wrote = json.loads(path.read_text())
    del wrote["config"]["checkpoint"]
    wrote |= {"model_name": "someone/mine-376M", "max_length": 4096}
    wrote["config"] |= {"model": "hf", "model_num_parameters": 380_000_000}
    path.write_text(json.dumps(wrote))
    line = paper1(capsys, results)["mine-376M"]
    assert (line["size"], line["stage"], line["method"]) == ("376M", "short", "unknown")
    said = paper1(capsys, results, "--compare", "published", "--as", "mine-376M=376M/short/RoPE")
    assert said["mine-376M published"]["PIQA"] == "66.3"


def test_tables_of_these_files_hold_no_place_on_this_machine(written, capsys):
    for form in ("text", "json"):
        assert str(written.parent) not in printed(table_command, capsys, written, "--format", form)
        assert "__tmp" not in printed(table_command, capsys, written, "--format", form)


def test_a_folder_of_runs_and_of_lm_evals_results_is_all_of_them(results, tmp_path):
    write_run(tmp_path / "run", [FakeCell()])
    assert set(read_results(tmp_path)["checkpoint"]) == {"rope", "tiny", "other"}


def test_the_layout_names_the_suites_tasks_and_metrics():
    groups = task_groups()
    suite = {*groups["short"], *groups["short_super_glue"]} - {"short_super_glue"}
    columns = {task for column in published_table("paper1").columns for task in column.tasks}
    assert suite - columns == {"record"}  # it has no accuracy
    assert columns - suite == {*groups["table1"], "short_truthfulqa_mc2"}  # TruthfulQA of protocol reference
    readme = (resource_dir("tasks") / "short" / "README.md").read_text(encoding="utf-8")
    compared = {cells[2].strip("` "): cells[3].strip() for line in readme.splitlines() if len(cells := line.split("|")) == 5}
    named = {task: metric for task, metric in compared.items() if metric == "acc_norm"}
    assert named | {f"short_{task}": metric for task, metric in named.items()} == dict(published_names().metrics)
