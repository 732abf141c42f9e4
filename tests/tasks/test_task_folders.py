"""The folder that docs/tasks.md shows adds a task that everything else accepts, and a wrong folder is refused in one line."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval import cli
from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import STATISTICS
from ropepp_eval.rows import cache_key, task_files, task_folders, workers
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.catalogue import load_task_folder, resolve_tasks, task_entries, task_groups
from tests.rows.small_requests import small_request
from tests.warm.start import Warm

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
DEMO = str(ROOT / "models" / "demo" / "rope")


@pytest.fixture
def passkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worked example as files, and a process that forgets it afterwards."""
    monkeypatch.setattr(task_folders, "_loaded", {})
    for name, content in re.findall(r"<!-- write: (\S+) -->\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path / "passkey"


Change = Callable[[str, str], None]


@pytest.fixture
def change(passkey: Path) -> Change:
    """Replace a part of the example's YAML."""

    def changed(old: str, new: str) -> None:
        file = passkey / "passkey.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    return changed


def test_run_tables_and_the_list_show_it(passkey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tasks", "--task-folder", str(passkey)]) == 0
    assert re.search(r"^passkey\n  passkey +Say the pass key", capsys.readouterr().out, re.MULTILINE)
    arguments = ["--task-folder", str(passkey), "--tasks", "passkey", "--lengths", "256", "--samples", "2", "--offline"]
    assert cli.main(["run", DEMO, *arguments, "--device", "cpu", "--out", str(tmp_path / "run")]) == 0
    assert "passkey: found in percent" in capsys.readouterr().out
    assert cli.main(["table", str(tmp_path / "run"), "--layout", "depth"]) == 0
    assert "passkey by depth of the fact" in capsys.readouterr().out


def test_lm_eval_and_python_accept_it(passkey: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'passkey'"):
        resolve_tasks(["passkey"])
    ropepp_eval.load_task_folder(passkey)
    (task,) = ropepp_eval.lm_eval_tasks("passkey", "256", tokenizer=DEMO, samples=3)
    assert [doc["length_tokens"] for doc in task.dataset["test"]] == [256] * 3
    assert task.config.custom_dataset.__module__.startswith("ropepp_eval_tasks_passkey")


def test_the_lm_eval_command_takes_the_folder_out_of_lm_evals_arguments(passkey: Path, tmp_path: Path) -> None:
    from ropepp_eval.cli.lm_eval import own_options, serve

    ours, rest = own_options(["run", "--model", "dummy", f"--task-folder={passkey}", "--tasks", "passkey@256"])
    assert (ours.task_folder, rest) == ([str(passkey)], ["run", "--model", "dummy", "--tasks", "passkey@256"])
    ropepp_eval.load_task_folder(passkey)
    args = argparse.Namespace(model="dummy", tasks="passkey@256", include_path=None)
    serve(args, tmp_path)
    assert args.include_path == str(tmp_path)
    written = (tmp_path / "passkey@256.yaml").read_text()
    assert re.search(r"custom_dataset: !function 'ropepp_eval_tasks_passkey_[0-9a-f]{8}\.hooks\.rows'", written)


@pytest.mark.slow
def test_plain_lm_eval_reads_the_folder(passkey: Path, tmp_path: Path, warm: Warm) -> None:
    metadata = json.dumps({"tokenizer": DEMO, "length_tokens": 256, "samples": 2})
    arguments = ["run", "--model", "dummy", "--include_path", str(passkey), "--tasks", "passkey", "--metadata", metadata]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        warm.command(*arguments, module="lm_eval"),
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|passkey|" in done.stdout


def test_files_of_a_folder_import_each_other_also_in_worker_processes(
    passkey: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (passkey / "hooks.py").read_text()
    (passkey / "building.py").write_text(source)
    (passkey / "hooks.py").write_text(
        "from ropepp_eval.rows.workers import build_in_chunks\n"
        "from .building import row, scores\n\n\n"
        "def chunk(request, numbers):\n    return [row(request, number) for number in numbers]\n\n\n"
        "def rows(request):\n    return [one for part in build_in_chunks(request, request.samples, chunk) for one in part]\n"
    )
    monkeypatch.setattr(workers, "_FEWEST_TOKENS", 0)
    load_task_folder(passkey)
    found = []
    for count in ("1", "2"):
        monkeypatch.setenv("ROPEPP_EVAL_WORKERS", count)
        found.append([row.sha256 for row in task_entries()["passkey"].build_rows()(small_request("passkey"))])
    workers._close_pool()
    assert found[0] == found[1]


def test_what_the_folder_holds_is_in_the_keys_of_its_rows(
    passkey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.plan import build_plan

    monkeypatch.setenv("ROPEPP_EVAL_CACHE", str(tmp_path / "cache"))
    keys, places, identities = [], [], []
    for note in ("", "a note\n", ""):
        monkeypatch.setattr(task_folders, "_loaded", {})
        (passkey / "notes.txt").write_text(note)
        load_task_folder(passkey)
        plan = build_plan(RunConfig.of(DEMO, tasks="passkey", lengths="256", samples=1, device="cpu", offline=True))
        (cell,) = plan.cells
        keys.append(plan.key_of(cell, cell.rows[0]))
        identities.append(plan.identity())
        places.append(cache_key.cache_file(small_request("passkey"), cell.task.build_rows()))
    assert identities[0] == identities[2] != identities[1]
    assert keys[0] == keys[2] != keys[1]
    assert places[0] == places[2] != places[1]
    assert all(entry.folder.sha256 is None for name, entry in task_entries().items() if name != "passkey")


def test_a_group_of_ones_own(passkey: Path) -> None:
    (passkey / "both.yaml").write_text("group: needles\ntask: [passkey, niah_single_1]\n")
    load_task_folder(passkey)
    assert task_groups()["needles"] == ("passkey", "niah_single_1")
    assert [entry.name for entry in resolve_tasks(["needles"])] == ["passkey", "niah_single_1"]


def test_an_entry_point_names_a_package_of_tasks(passkey: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (passkey / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(passkey.parent))
    point = importlib.metadata.EntryPoint("passkey", "passkey", task_folders.ENTRY_POINTS)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == task_folders.ENTRY_POINTS else []
    )
    task_folders._installed.cache_clear()
    try:
        entry = task_entries()["passkey"]
        assert entry.build_rows().__module__ == "passkey.hooks"
        assert len(frozen_rows(small_request("passkey"), entry.build_rows())) == 4
    finally:
        task_folders._installed.cache_clear()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("output_type: generate_until\n", "", "passkey.yaml: output_type is missing; docs/tasks.md"),
        ("  benchmark: passkey\n", "", "passkey.yaml: metadata.benchmark is missing"),
        ("task: passkey\n", "", "passkey.yaml: task is missing"),
        ("class: !function ropepp_eval.rows.lm_eval_task.RowTask\n", "", "passkey.yaml: class is missing"),
        ("task: passkey\n", "task: vt\n", r"passkey.yaml: task is vt, a name that .*ruler/vt.yaml has; choose another"),
        ("task: passkey\n", "task: ruler\n", r"passkey.yaml: task is ruler, a name that .*group_ruler.yaml has"),
        ("task: passkey\n", "task: pass key\n", r'passkey.yaml: task is "pass key"; it must be letters, digits'),
        ("hooks.rows", "hooks.rowz", "passkey.yaml: custom_dataset is hooks.rowz, which is no function there"),
        (
            "hooks.scores",
            "hook.scores",
            "passkey.yaml: process_results is hook.scores, whose import fails with ModuleNotFound",
        ),
        ("!function hooks.rows", "hooks.rows", "passkey.yaml: custom_dataset is .*; it must be a function"),
        ("aggregation: mean", "aggregation: medain", r'metric_list\[0\].aggregation is "medain"; it must be mean, '),
        ("aggregation: mean, ", "", r"passkey.yaml: metric_list\[0\].aggregation is missing"),
        ("generate_until", "generate", 'passkey.yaml: output_type is "generate"; it must be'),
        ("scale: {found: 100}", "scale: {fonud: 100}", "passkey.yaml: metadata is .*its scale names fonud"),
        ("  version: 1\n", "  takes_lenght: false\n", "passkey.yaml: metadata.takes_lenght is no field of it"),
        ("task: passkey\n", "task: passkey\ntask: other\n", "the key .*task.* is there twice"),
        ("task: passkey\n", "include: _part.yaml\ntask: passkey\n", "_part.yaml can't be read"),
        ("task: passkey\n", "include: passkey.yaml\ntask: passkey\n", "include is itself"),
    ],
)
def test_a_wrong_yaml_is_refused_in_one_line_with_file_and_field(
    passkey: Path, change: Change, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    change(old, new)
    assert cli.main(["tasks", "--task-folder", str(passkey)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line), line
    assert "passkey" not in task_entries()


@pytest.mark.parametrize(
    "source", ["import nothing_of_this_name\n", "def rows(:\n", "raise SystemExit('no')\n", "1 / 0\n"], ids=lambda s: s[:12]
)
def test_a_hook_that_fails_to_import_is_named_with_its_file_and_field(
    passkey: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    (passkey / "hooks.py").write_text(source)
    assert cli.main(["run", DEMO, "--tasks", "passkey", "--lengths", "256", "--task-folder", str(passkey)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"passkey.yaml: custom_dataset is hooks.rows, whose import fails with \w+: .*; correct it", line), line


def test_a_folder_that_is_none_or_holds_no_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, said in ((tmp_path / "nowhere", "is not a folder"), (tmp_path, "holds no task")):
        assert cli.main(["lm-eval", "--task-folder", str(folder), "--tasks", "passkey"]) == 2
        assert said in capsys.readouterr().err


def test_reports_know_every_aggregation_that_a_task_may_name() -> None:
    assert set(task_files.AGGREGATIONS) == set(STATISTICS)
