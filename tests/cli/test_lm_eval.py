"""`ropepp-eval lm-eval`: what its help says, and what it refuses in one line before a task is read or a model loaded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.paths import resource_dir
from tests.warm.start import Warm

pytestmark = pytest.mark.usefixtures("lm_eval_index")

DEMO = str(resource_dir("models") / "demo" / "rope")
OURS = ["lm-eval", "--model", "ropepp", "--model_args", f"pretrained={DEMO}", "--limit", "2", "--tasks", "niah_single_1@256"]
WHOLE = [*OURS[:5], *OURS[7:]]
"""Without --limit."""


def test_help_names_what_is_ours_before_lm_evals_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm-eval", "--help"]) == 0
    said = capsys.readouterr().out
    ours, _, theirs = said.partition("usage: lm-eval run")
    for word in ("--model ropepp ", "--model ropepp-vllm", "--model hf", "TASK@LENGTH", "lm_eval:TASK", "--task-folder"):
        assert word in ours
    for word in ("--model_args", "--log_samples", "--use_cache"):
        assert word in theirs


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([*OURS, "--num_fewshot", "2"], "--num_fewshot does not go with task niah_single_1@256: worked examples belong to"),
        ([*OURS, "--apply_chat_template"], "--apply_chat_template does not go with task niah_single_1@256: a chat template"),
        ([*OURS, "--system_instruction", "Be brief."], "--system_instruction does not go with task niah_single_1@256"),
        ([*OURS[:-1], "niah_*", "--num_fewshot", "1"], "--num_fewshot does not go with task niah_*"),
        ([*OURS, "--log_samples"], "Specify --output_path if providing --log_samples or --predict_only"),
        ([*OURS, "--predict_only"], "Specify --output_path if providing --log_samples or --predict_only"),
        ([*OURS, "--samples", '{"niah_single_1@256": [0]}'], "If --samples is not None, then --limit must be None"),
        (
            [*WHOLE, "--samples", '{"niah_single_1": [0]}'],
            "--samples names 'niah_single_1', which is none of the tasks asked",
        ),
        ([*WHOLE, "--samples", "rows.json"], "--samples 'rows.json' is neither JSON nor a file of it"),
        ([*WHOLE[:-1], "vt@2k,qa_squad@2k", "--samples", '{"vt@2k": [0]}'], "--samples names no rows of qa_squad@2k"),
        (["lm-eval", "--tasks", "vt@2k", "--model", "hf", "--use_cache", "a"], "--use_cache does not go with --model hf"),
        ([*OURS[:-1], "lm_eval:niah_singel_1"], "unknown task of lm-eval 'niah_singel_1'; did you mean niah_single_1"),
        ([*OURS[:-1], "niah_single_1@3x"], "length '3x' is not a context length"),
        ([*OURS[:-1], "ruler@16"], "does not fit 16 tokens"),
    ],
)
def test_what_can_not_be_done_is_refused_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]


PAPER = ["--tasks", "short_piqa@1k", "--limit", "2", "--metadata", f'{{"protocol": "paper", "tokenizer": "{DEMO}"}}']


def test_rows_of_the_papers_protocol_are_ranked_by_our_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*OURS[:5], *PAPER]) == 0
    assert "|short_piqa@1k|" in capsys.readouterr().out


def test_another_model_refuses_rows_of_the_papers_protocol_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm-eval", "--model", "dummy", *PAPER]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "--model dummy does not answer requests of type whole_text, which a task asks for" in errors[0]
    assert (
        main(
            [
                "lm-eval",
                "--model",
                "dummy",
                *PAPER[:1],
                "short_winogrande@1k",
                *PAPER[2:4],
                "--metadata",
                f'{{"tokenizer": "{DEMO}"}}',
            ]
        )
        == 0
    )


@pytest.mark.slow
def test_lm_evals_hf_reads_our_folder_and_its_own_task_stands_beside_ours(tmp_path: Path, warm: Warm) -> None:
    """One sentence says whose the task is, in the place of a line of lm-eval's for each task of the same name."""
    arguments = ["lm-eval", "--model", "hf", "--model_args", f"pretrained={DEMO}", "--device", "cpu", "--limit", "1"]
    arguments += [
        "--tasks",
        "niah_single_1,lm_eval:niah_single_1",
        "--metadata",
        '{"length_tokens": 256, "max_seq_lengths": [256]}',
    ]
    done = subprocess.run(warm.command(*arguments), capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert {"niah_single_1", "lm_eval:niah_single_1"} <= set(shown)
    assert "overrides existing task" not in done.stderr
    sentence = "niah_single_1 is ropepp-eval's task; lm-eval's own of that name is lm_eval:niah_single_1"
    assert done.stderr.count(sentence) == 1


def test_only_tasks_at_a_length_need_nothing_of_lm_evals_own(tmp_path: Path) -> None:
    import argparse

    import lm_eval.tasks

    from ropepp_eval.cli.lm_eval import serve
    from ropepp_eval.rows.lm_eval_own import without_own_tasks

    def all_at_length(tasks: str, **more: str) -> bool:
        folder = tmp_path / f"{tasks}{len(more)}"
        folder.mkdir()
        given = {"tasks": tasks, "model": "dummy", "include_path": None, "metadata": f'{{"tokenizer": "{DEMO}"}}', **more}
        return serve(argparse.Namespace(**given), folder)

    assert all_at_length("niah_single_1@512")
    assert not all_at_length("niah_single_1@512,piqa")
    assert not all_at_length("niah_single_1@512", include_path=str(tmp_path))
    manager = lm_eval.tasks.TaskManager
    with without_own_tasks():
        found = lm_eval.tasks.TaskManager(include_path=str(tmp_path / "niah_single_1@5120")).all_tasks
    assert found == ["niah_single_1@512"]
    assert lm_eval.tasks.TaskManager is manager
