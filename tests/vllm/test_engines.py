"""Engines in processes of their own, and whole runs through both backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from ropepp_eval import evaluate, read_rows
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.vllm import VllmLM
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from tests.vllm.tiny import make_checkpoint

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

STRANGER = """
import json, sys
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    llm = LLM(sys.argv[1], config_format="ropepp", skip_tokenizer_init=True, dtype="float32", max_model_len=512, enforce_eager=True,
              kv_cache_memory_bytes=1 << 28)
    params = SamplingParams(temperature=0, max_tokens=8, detokenize=False, ignore_eos=True)
    print("IDS", json.dumps(list(llm.generate([{"prompt_token_ids": [5, 6, 7]}], params)[0].outputs[0].token_ids)))
"""


def test_a_spawned_engine_finds_the_model_though_its_script_never_heard_of_us(
    tmp_path: Path, tiny_tokenizer_dir: Path
) -> None:
    import torch

    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "ropepp_ec")
    (tmp_path / "stranger.py").write_text(STRANGER)
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "stranger.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("IDS ")]
    assert said, done.stdout[-2000:] + done.stderr[-2000:]
    model = NativeLM(str(folder), dtype="float32").model
    expected = model.generate(
        torch.tensor([[5, 6, 7]]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert json.loads(said[0][4:]) == expected[0, 3:].tolist()


def test_an_engine_that_dies_fails_the_rows_that_ran_and_keeps_the_others(
    tmp_path: Path, tiny_tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import psutil

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "ropepp_eh")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    lm = VllmLM(str(folder), dtype="float32", max_length=4300, enforce_eager=True, max_num_seqs=2, log_folder=str(tmp_path))
    assert "INFO" in (tmp_path / "vllm-engine.log").read_text()
    printed = capfd.readouterr()
    assert "INFO" not in printed.out + printed.err
    requests = [
        Instance("generate_until", {}, ("The sky is", {"max_gen_toks": budget}), 0) for budget in (1, 3000, 3000, 3000)
    ]
    answers = lm.answers(requests)
    index, answer = next(answers)
    assert (index, answer.error) == (0, None)
    for child in psutil.Process().children(recursive=True):
        if child.pid not in before and child.is_running():
            child.kill()
    failed: dict[int, Any] = {}
    with pytest.raises(UserError, match="finished rows are kept: run the same command again"):
        failed.update((index, answer.error) for index, answer in answers)
    assert set(failed) <= {1, 2}  # at most the two that ran; the fourth was never asked
    assert failed
    assert all(error is not None and error.stage == "engine" for error in failed.values())
    with pytest.raises(UserError, match="has stopped"):
        next(lm.answers(requests))


def test_ruler_and_babilong_rows_get_the_same_answers_and_scores_from_both_backends(
    tmp_path: Path, tiny_tokenizer_dir: Path
) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "ropepp_ec")
    settings: dict[str, Any] = {
        "tasks": ["niah_single_1", "babilong_qa1"], "lengths": ["2k", "4k"], "samples": 3, "dtype": "float32", "offline": True, "quiet": True,
    }  # fmt: skip
    rows = {}
    for backend in ("native", "vllm"):
        evaluate(folder, backend=backend, out=tmp_path / backend, **settings)
        frame = read_rows(tmp_path / backend).sort_values(["task", "length_tokens", "row"])
        rows[backend] = frame[
            ["task", "length_tokens", "row", "row_sha256", "prompt_sha256", "finish", "new_tokens"]
        ].to_dict("records")
        lines = [
            json.loads(line)
            for file in (tmp_path / backend / "rows").rglob("*.jsonl")
            for line in file.read_text().splitlines()
        ]
        kept = ("task", "length_tokens", "row", "responses", "scores", "error")
        rows[backend] += sorted(({name: line[name] for name in kept} for line in lines), key=str)
    assert len(rows["native"]) == 2 * 12
    assert rows["vllm"] == rows["native"]
    assert (tmp_path / "vllm" / "vllm-engine.log").is_file()


def test_verify_backend_shows_agreement_and_fails_over_its_tolerance(
    tmp_path: Path, tiny_tokenizer_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", tiny_tokenizer_dir, "ropepp_eh")
    command = [
        "verify-backend",
        str(folder),
        "--lengths",
        "1k,2k",
        "--samples",
        "2",
        "--dtype",
        "float32",
        "--enforce-eager",
    ]
    assert main([*command, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line["length_tokens"] for line in found["lengths"]] == [1024, 2048]
    for line in found["lengths"]:
        assert line["gap"] <= found["tolerance"] == 2e-4
        assert (line["rows"], line["same"], line["first"]) == (2, 2, "")
        assert line["tokens"] > 1.5 * line["length_tokens"]
    assert main([*command, "--tolerance", "0"]) == 1
    assert "OVER THE TOLERANCE" in capsys.readouterr().out
