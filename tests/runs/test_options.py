"""Options from a file and from an earlier run: validated, the command line wins, and a run is repeated from its run.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.runs.options import RunOptions, options_again, read_options

RUN = ["--tasks", "niah_single_1", "--lengths", "512", "--dtype", "fp32", "--quiet"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert main(["run", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("error: ")]) == 1
    return said[-1].removeprefix("error: ")


def keys_of(out: Path) -> set[str]:
    lines = [json.loads(line) for path in out.glob("rows/*/*.jsonl") for line in path.read_text().splitlines()]
    return {line["key"] for line in lines}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A folder that two commands made."""
    out = tmp_path_factory.mktemp("again") / "run"
    assert main(["run", str(tiny_checkpoint), *RUN, "--samples", "1", "--out", str(out), "--format", "none"]) == 0
    more = ["--samples", "2", "--lengths", "512,1k", "--chunk", "1k", "--out", str(out), "--format", "none"]
    assert main(["run", str(tiny_checkpoint), *RUN, *more[:4], "--out", str(out), "--format", "none"]) == 0
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def test_a_file_holds_any_option_and_the_command_line_wins(
    file: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        f"checkpoints: {tiny_checkpoint}\ntasks: [niah_single_1]\nlengths: [512, 1k]\nsamples: 3\nallow-beyond-trained-length: true\n"
        f"quiet: true\nformat: csv\nchunk: 1k\nadapter_options: {{batch_size: 2}}\n"
    )
    assert main(["run", "--config", str(file), "--samples", "1", "--lengths", "512", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count(",512,") == 1
    arguments = json.loads((tmp_path / "out" / "run.json").read_text())["arguments"]
    assert (arguments["samples"], arguments["lengths"], arguments["allow_beyond_trained_length"]) == (1, [512], True)
    assert arguments["adapter_options"] == [["batch_size", 2], ["chunk_tokens", 1024]]


def test_every_flag_is_an_option_of_the_file() -> None:
    from ropepp_eval.cli import parser_of

    flags = {action.dest for action in parser_of("run")._actions} - {
        "help",
        "debug",
        "config",
        "again",
        "dry_run",
        "device_model",
    }
    assert flags == RunOptions.model_fields.keys() - {"adapter_options", "grouped"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("task: ruler", "unknown option 'task'; did you mean tasks?"),
        ("limit: 5", "unknown option 'limit'; did you mean samples?"),
        ("smaples: 5", "unknown option 'smaples'; did you mean samples?"),
        ("grouped: [vt]", "unknown option 'grouped'"),
        ("samples: many", 'samples is "many"; it must be a whole number'),
        ("lengths: [2k, 3x]", "length '3x' is not a context length"),
        ("quiet: 1", "quiet is 1; it must be true or false"),
        ("- tasks", "it must be a mapping of options"),
        ("tasks: [ruler", "not YAML"),
        ("dtype: fp31\ncheckpoints: x\ntasks: vt\nlengths: 2k", "unknown dtype 'fp31'; did you mean fp32"),
    ],
)
def test_a_wrong_file_is_one_line(
    content: str, said: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(content)
    before = sorted(tmp_path.rglob("*"))
    assert said in refusal(capsys, "--config", file)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_is_repeated_from_its_run_json(grown: Path, tmp_path: Path) -> None:
    """Both commands that made the folder, on a machine that has only its run.json."""
    (tmp_path / "copy").mkdir()
    shutil.copy(grown / "run.json", tmp_path / "copy")
    assert main(["run", "--again", str(tmp_path / "copy"), "--out", str(tmp_path / "new"), "--quiet"]) == 0
    assert keys_of(tmp_path / "new") == keys_of(grown)
    assert len(keys_of(grown)) == 4
    history = json.loads((tmp_path / "new" / "run.json").read_text())["history"]
    assert [one["arguments"]["samples"] for one in history] == [1, 2]
    assert main(["run", "--again", str(tmp_path / "copy"), "--quiet"]) == 0
    assert keys_of(tmp_path / "copy") == keys_of(grown)


def test_again_takes_what_the_command_line_says_otherwise(grown: Path) -> None:
    for options in options_again(grown):
        merged = RunOptions(samples=7, tasks="vt", out="elsewhere").over(options)
        assert (merged.samples, merged.tasks, merged.lengths) == (7, "vt", options.lengths)
        assert merged.config().grouped == ()


def test_a_group_stays_a_group(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A member that a length does not hold is left out again, not an error."""
    config = RunOptions(checkpoints=str(tiny_checkpoint), tasks="ruler", lengths="512", samples=1).config()
    manifest = {"format": 2, "tasks": {}, "identity": {}, "arguments": json.loads(json.dumps(config.arguments()))}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    (again,) = options_again(tmp_path)
    assert again.config() == config
    assert len(config.grouped) == 13


def edited(grown: Path, folder: Path, **arguments: Any) -> Path:
    manifest = json.loads((grown / "run.json").read_text())
    for command in manifest["history"]:
        command["arguments"].update(arguments)
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_what_is_not_on_this_machine_is_named(
    grown: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = edited(
        grown, tmp_path / "far", checkpoints=["/models/mine", "~/nowhere/x"], data_dir="corpora", task_folder=["mine"]
    )
    said = refusal(capsys, "--again", folder)
    assert "checkpoint /models/mine, checkpoint ~/nowhere/x, --data-dir corpora, --task-folder mine" in said
    assert sorted(path.name for path in folder.iterdir()) == ["run.json"]
    folder = edited(grown, tmp_path / "moved", checkpoints=["/models/mine"])
    assert main(["run", str(tiny_checkpoint), "--again", str(folder), "--quiet", "--format", "none"]) == 0
    assert keys_of(folder) == keys_of(grown)


def test_a_folder_of_a_release_that_can_not_be_repeated_is_one_line(
    grown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = edited(grown, tmp_path / "newer", telepathy=True)
    said = refusal(capsys, "--again", folder)
    assert 'has an argument "telepathy" that this release does not know; repeat it with the release that made it' in said
    manifest = json.loads((grown / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "format": 99}))
    assert "format 99, this release reads 1 and 2" in refusal(capsys, "--again", folder)
    (folder / "run.json").unlink()
    assert "holds no run.json" in refusal(capsys, "--again", folder)
    assert not list(folder.iterdir())


def test_options_are_read_without_torch(file: Path) -> None:
    import subprocess
    import sys

    file.write_text("tasks: ruler\nlengths: 4k\n")
    code = f"import sys; from ropepp_eval.runs.options import read_options; from pathlib import Path; read_options(Path({str(file)!r}))"
    check = "; print([name for name in ('torch', 'transformers', 'lm_eval', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert read_options(file).lengths == "4k"
