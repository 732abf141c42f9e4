"""A whole run on a tiny checkpoint: rows, table, resume, refusal, and the same scores as lm-eval."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import ropepp_eval
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.paths import resource_dir
from tests.conftest import make_tiny_checkpoint
from tests.warm.start import Warm

TASKS = ["niah_single_1", "babilong_qa1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A finished run of one checkpoint, two tasks, two lengths, two rows."""
    out = tmp_path_factory.mktemp("runs") / "first"
    ropepp_eval.evaluate(tiny_checkpoint, tasks=TASKS, lengths=["2k", "4k"], samples=2, out=out, quiet=True)
    return out


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(out.glob("rows/*/*.jsonl")) for line in path.read_text().splitlines()]


def table_of(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["table", str(out)]) == 0
    return capsys.readouterr().out


def test_results_have_a_line_for_each_cell_and_metric(finished: Path) -> None:
    frame = ropepp_eval.read_results(finished)
    wanted = {
        *(
            "checkpoint",
            "position",
            "benchmark",
            "task",
            "length_tokens",
            "protocol",
            "metric",
            "value",
            "stderr",
            "rows",
            "failed",
        ),
    }
    assert wanted <= set(frame.columns)
    primary = frame[frame["task"] == "niah_single_1"]
    assert sorted(primary["length_tokens"].unique()) == [2048, 4096]
    assert set(frame["rows"]) == {2}
    assert set(frame["failed"]) == {0}
    assert set(frame["position"]) == {"rope"}


def test_one_checkpoint_with_two_scalings_is_two_lines_of_a_table(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for position in ("rope", "rope+pi8"):
        ropepp_eval.evaluate(
            tiny_checkpoint, tasks=["niah_single_1"], lengths=["1k"], samples=1, position=position, out=tmp_path / position,
            quiet=True,
        )  # fmt: skip
    assert set(ropepp_eval.read_results(tmp_path)["position"]) == {"rope", "rope+pi8"}
    out = table_of(tmp_path, capsys)
    assert "tiny (rope)" in out
    assert "tiny (rope+pi8)" in out


def test_every_row_is_on_disk_with_its_ledger(finished: Path) -> None:
    records = lines_of(finished)
    assert len(records) == 8
    for record in records:
        assert record["prompt_tokens"] + record["budget"] <= record["length_tokens"]
        assert record["finish"] in ("stop", "length", "eos")
        assert not record["cut"]
        assert record["error"] is None
        assert len(record["prompt_sha256"]) == 64
        assert isinstance(record["responses"][0], str)


def test_run_json_repeats_the_run(finished: Path, tiny_checkpoint: Path) -> None:
    manifest = json.loads((finished / "run.json").read_text())
    assert manifest["status"] == "success"
    assert manifest["arguments"]["tasks"] == TASKS
    assert manifest["arguments"]["lengths"] == [2048, 4096]
    assert manifest["versions"]["torch"]
    computed = manifest["identity"]["checkpoints"]["tiny"]
    assert computed["checkpoint"] == ropepp_eval.inspect_checkpoint(tiny_checkpoint).sha256
    assert "auto" not in json.dumps(computed), "what became of it, not what was asked"
    assert manifest["ran"]["tiny"]


def test_the_same_call_again_asks_nothing(finished: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in finished.glob("rows/*/*.jsonl")}

    def never(*_: Any) -> None:
        raise AssertionError("a finished run loaded the model")

    monkeypatch.setattr("ropepp_eval.runs.answering.make_adapter", never)
    ropepp_eval.evaluate(tiny_checkpoint, tasks=TASKS, lengths=["2k", "4k"], samples=2, out=finished, quiet=True)
    assert {path: path.read_bytes() for path in finished.glob("rows/*/*.jsonl")} == before


def test_rows_lost_to_a_crash_are_redone_and_nothing_else(
    finished: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "first"
    shutil.copytree(finished, copy)
    files = sorted(copy.glob("rows/*/*.jsonl"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-9])
    kept = files[1].read_bytes().splitlines(keepends=True)[0]
    ropepp_eval.evaluate(tiny_checkpoint, tasks=TASKS, lengths=["2k", "4k"], samples=2, out=copy, quiet=True)
    assert files[1].read_bytes().startswith(kept)
    assert table_of(copy, capsys) == table_of(finished, capsys)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_table(
    finished: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], warm: Warm
) -> None:
    out = tmp_path / "first"
    command = ["run", str(tiny_checkpoint), "--tasks", ",".join(TASKS)]
    command += ["--lengths", "2k,4k", "--samples", "2", "--out", str(out), "--quiet"]
    seen = 0
    for rows_before_kill in (0, 1, 4, 6):
        process = warm.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while process.poll() is None and time.monotonic() < deadline:
            rows = sum(path.read_bytes().count(b"\n") for path in out.glob("rows/*/*.jsonl"))
            if rows >= max(rows_before_kill, 1) or (rows_before_kill == 0 and (out / "run.json").exists()):
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rows = sum(path.read_bytes().count(b"\n") for path in out.glob("rows/*/*.jsonl"))
        assert rows >= seen, "a finished row was lost"
        seen = rows
    assert main(command) == 0
    keys = [record["key"] for record in lines_of(out)]
    assert len(keys) == len(set(keys)) == 8
    assert table_of(out, capsys) == table_of(finished, capsys)


def test_the_table_repeats_what_a_checkpoint_says_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = resource_dir("models") / "demo" / "ropepp_eh"
    ropepp_eval.evaluate(checkpoint, tasks="niah_single_1", lengths="512", samples=1, out=tmp_path / "run", quiet=True)
    assert "ropepp_eh: tiny model trained on generated text" in table_of(tmp_path / "run", capsys)


def test_two_checkpoints_never_share_an_answer(tiny_checkpoint: Path, tiny_tokenizer_dir: Path, tmp_path: Path) -> None:
    other = make_tiny_checkpoint(tmp_path / "tiny", tiny_tokenizer_dir, seed=2)
    frame = ropepp_eval.evaluate(
        tiny_checkpoint, other, tasks="niah_single_1", lengths="1k", samples=1, out=tmp_path / "run", quiet=True
    )
    assert frame["checkpoint"].nunique() == 2, "equal folder names must not make equal labels"
    records = lines_of(tmp_path / "run")
    assert len({record["key"] for record in records}) == 2
    assert len({record["row_sha256"] for record in records}) == 1


def test_a_length_past_the_checkpoints_is_refused_before_anything_loads(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropepp_eval.runs.answering.make_adapter", None)
    with pytest.raises(UserError, match=r"made for 8192 .*--allow-beyond-trained-length"):
        ropepp_eval.evaluate(
            tiny_checkpoint, tasks="niah_single_1", lengths="16k", samples=1, out=tmp_path / "run", quiet=True
        )
    assert not (tmp_path / "run").exists()


def test_extrapolation_runs_when_allowed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    frame = ropepp_eval.evaluate(
        tiny_checkpoint,
        tasks="niah_single_1",
        lengths="16k",
        samples=1,
        out=tmp_path / "run",
        allow_beyond_trained_length=True,
        quiet=True,
    )
    assert set(frame["rows"]) == {1}


@pytest.mark.usefixtures("lm_eval_index")
def test_lm_eval_gives_the_same_scores(finished: Path, tiny_checkpoint: Path) -> None:
    import lm_eval

    ropepp_eval.register()
    tasks = ropepp_eval.lm_eval_tasks(TASKS, ["2k", "4k"], tokenizer=str(tiny_checkpoint), samples=2)
    results = lm_eval.simple_evaluate(model="ropepp", model_args={"pretrained": str(tiny_checkpoint)}, tasks=tasks)
    ours = {(r["task"], r["length_tokens"], r["row"]): r for r in lines_of(finished)}
    for name, samples in results["samples"].items():
        task, written = name.split("@")
        for sample in samples:
            record = ours[task, {"2k": 2048, "4k": 4096}[written], sample["doc"]["row"]]
            assert sample["resps"][0][0] == record["responses"][0]
            assert {metric: sample[metric] for metric in sample["metrics"]} == record["scores"]


@pytest.mark.slow
def test_the_lm_eval_command_gives_the_same_scores(
    finished: Path, tiny_checkpoint: Path, tmp_path: Path, warm: Warm
) -> None:
    command = warm.command("lm-eval", "--model", "ropepp", "--model_args", f"pretrained={tiny_checkpoint}")
    command += ["--tasks", "niah_single_1@2k", "--metadata", '{"samples": 2}', "--output_path", str(tmp_path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    [written] = list(tmp_path.rglob("results_*.json"))
    theirs = json.loads(written.read_text())["results"]["niah_single_1@2k"]
    frame = ropepp_eval.read_results(finished)
    cell = frame[(frame["task"] == "niah_single_1") & (frame["length_tokens"] == 2048)]
    for metric, value in zip(cell["metric"], cell["value"], strict=True):
        assert theirs[f"{metric},none"] == pytest.approx(value, abs=1e-12)
