"""What a user can get wrong: one line that names it, status 2, nothing half-written, and the run goes on afterwards."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from tests.warm.start import Warm


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that `ropepp-eval` prints for these arguments; checks that it is one line and status 2."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in "\n".join(said)
    return errors[0]


def run_arguments(checkpoint: Path, out: Path, *more: str, tasks: str = "niah_single_1") -> list[str]:
    return ["run", str(checkpoint), "--tasks", tasks, "--lengths", "2k", "--samples", "2", "--out", str(out), *more]


@pytest.fixture
def broken(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint, to be spoiled."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "broken"))


def test_an_empty_checkpoint_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(capsys, *run_arguments(tmp_path / "empty", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "nowhere" in refusal(capsys, *run_arguments(tmp_path / "nowhere", tmp_path / "out"))


def test_a_checkpoint_without_tokenizer(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken / "tokenizer.json").unlink()
    (broken / "tokenizer_config.json").unlink(missing_ok=True)
    assert "--tokenizer" in refusal(capsys, *run_arguments(broken, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_truncated_weights(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors" in refusal(capsys, *run_arguments(broken, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_pickled_checkpoint_says_why_it_is_refused(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    said = refusal(capsys, *run_arguments(broken, tmp_path / "out"))
    assert "pytorch_model.bin" in said
    assert "safetensors" in said


def test_a_config_that_contradicts_the_weights_names_the_tensor(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 4}))
    assert "k_proj" in refusal(capsys, *run_arguments(broken, tmp_path / "out"))


def test_a_position_that_contradicts_the_weights_names_the_tensor(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "out", "--position", "ropepp_ec"))
    assert "_proj" in said


def test_a_data_folder_without_the_file(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    arguments = run_arguments(tiny_checkpoint, tmp_path / "out", "--data-dir", str(tmp_path / "data"), tasks="niah_single_2")
    assert "essays" in refusal(capsys, *arguments)
    missing = run_arguments(tiny_checkpoint, tmp_path / "out", "--data-dir", str(tmp_path / "none"))
    assert "is not there" in refusal(capsys, *missing)


def test_a_length_too_small_for_the_task_says_the_smallest(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = run_arguments(tiny_checkpoint, tmp_path / "out")
    arguments[arguments.index("2k")] = "150"
    said = refusal(capsys, *arguments)
    assert "niah_single_1" in said
    assert any(word.strip(",;.").isdigit() and int(word.strip(",;.")) > 150 for word in said.split())


def test_an_output_that_is_a_file_or_holds_something_else(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file" in refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "file"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    assert "holds other files (a.txt)" in refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "notes"))


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--dtype", "float23", "unknown dtype 'float23'; did you mean float32"),
        ("--attention", "spda", "unknown attention 'spda'; did you mean sdpa"),
        ("--device", "cuda", "device 'cuda' is not here"),
        ("--device", "gpu", "device 'gpu' is not known"),
        ("--backend", "tensorrt", "backend 'tensorrt' is not known"),
        ("--position", "ropepp", "unknown position 'ropepp'"),
    ],
)
def test_a_setting_that_does_not_exist_writes_nothing(
    option: str, value: str, expected: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if value == "cuda":
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU, so --device cuda is right")
    assert expected in refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "out", option, value))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--dtype", "fp31"], "unknown dtype"),
        (["--attention", "spda"], "unknown attention"),
        (["--backend", "vlm"], "backend 'vlm' is not known"),
        (["--protocol", "papr"], "protocol 'papr' is not known"),
        (["--lengths", "2k,16k"], "length 16k of task niah_single_1 is too long"),
        (["--tasks", "niah_single_1,nih"], "unknown task 'nih'"),
        (["--position", "ropepp"], "unknown position"),
        (["--chunk", "3x"], "length '3x' is not a context length"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_any_row_is_built(
    options: list[str], expected: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("ropepp_eval.runs.plan.frozen_rows", None)
    assert expected in refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "out", *options))
    (tmp_path / "file").write_text("x")
    assert "is a file" in refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "file"))
    assert not (tmp_path / "out").exists()


def test_the_first_line_stands_before_torch_is_loaded(tiny_checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ropepp_eval.cli import main\n"
        "class Watched:\n"
        "    def write(self, text):\n"
        "        if 'reading' in text:\n"
        "            print(text.strip(), [name for name in ('torch', 'transformers', 'lm_eval') if name in sys.modules])\n"
        "            sys.stdout.flush()\n"
        "            raise SystemExit(7)\n"
        "    def flush(self): pass\n"
        "sys.stderr = Watched()\n"
        "main(sys.argv[1:])\n"
    )
    arguments = run_arguments(tiny_checkpoint, tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout == "reading 1 checkpoint ... []\n", done.stderr


def test_a_cell_that_does_not_fit_in_memory_says_what_it_needs(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropepp_eval.adapters.memory.available_memory", lambda device: 10 << 20)
    said = refusal(capsys, *run_arguments(tiny_checkpoint, tmp_path / "out"))
    assert "does not fit in memory" in said
    assert "of 10.0 MiB" in said
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "tabel"]) == 2
    assert "Traceback" in capsys.readouterr().err


def rows_in(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("rows/*/*.jsonl"))


@pytest.mark.slow
def test_ctrl_c_is_status_130_and_the_run_goes_on(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """In a Python of its own, as a user starts it."""
    arguments = run_arguments(tiny_checkpoint, tmp_path / "out", "--quiet")
    arguments[arguments.index("--samples") + 1] = "12"
    arguments[arguments.index("--lengths") + 1] = "1k,4k"  # the second cell gives the signal time to arrive
    process = subprocess.Popen(
        [sys.executable, "-m", "ropepp_eval", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while rows_in(tmp_path / "out") < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "goes on" in said
    finished = rows_in(tmp_path / "out")
    assert 2 <= finished < 24
    assert main(arguments) == 0
    assert rows_in(tmp_path / "out") == 24


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(tiny_checkpoint: Path, tmp_path: Path, warm: Warm) -> None:
    """A limit on the size of files stands in for the disk: the first row that does not fit fails in the same call."""
    arguments = run_arguments(tiny_checkpoint, tmp_path / "out", "--quiet")
    arguments[arguments.index("--samples") + 1] = "20"

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    full = subprocess.run(warm.command(*arguments), capture_output=True, text=True, preexec_fn=small_files)
    assert full.returncode == 2, full.stderr
    assert full.stderr.count("error: ") == 1
    assert "Traceback" not in full.stderr
    assert main(arguments) == 0
    assert rows_in(tmp_path / "out") == 20
