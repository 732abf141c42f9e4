"""The scripts of docs/clusters.md: read by bash, and run with a stand-in for Slurm that starts processes on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ropepp_eval.cli import main
from tests.cluster.tools import processes_with, stored, until

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
SCRIPTS = dict(re.findall(r"<!-- script: (\S+) -->\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL))
CELLS = ["--tasks", "niah_single_1", "--lengths", "512,1k", "--samples", "3", "--offline", "--dtype", "float32"]


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment in which `srun` runs its command here, and `scontrol` names this machine as the only host."""
    tools = tmp_path / "bin"
    tools.mkdir()
    python = Path(sys.executable).parent
    content = {
        "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
        "scontrol": "echo 127.0.0.1",
        "ropepp-eval": f'exec "{sys.executable}" -m ropepp_eval "$@"',
        "ray": f'exec "{python}/ray" "$@"',
    }
    for name, body in content.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.endswith(".yaml")])
def test_bash_reads_it(name: str) -> None:
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_job_for_kubernetes_is_yaml_with_the_tested_ray() -> None:
    job = yaml.safe_load(SCRIPTS["rayjob.yaml"])
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pins["ray"]


def test_an_array_of_shards_is_gathered_to_the_run(
    stand_in: dict[str, str], tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, out = tmp_path / "array.sbatch", tmp_path / "all"
    script.write_text(SCRIPTS["array.sbatch"])
    arguments = [str(tiny_checkpoint), *CELLS, "--out", str(out)]
    jobs = [
        subprocess.Popen(
            ["bash", str(script), *arguments],
            env={**stand_in, "SLURM_ARRAY_TASK_ID": str(job), "SLURM_ARRAY_TASK_COUNT": "2"},
        )
        for job in (1, 2)
    ]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]
    parts = {key: row for folder in out.iterdir() for key, row in stored(folder).items()}
    assert main(["run", *arguments, "--quiet"]) == 0
    gathered = capsys.readouterr().out
    assert stored(out) == parts
    assert main(["run", *arguments[:-1], str(tmp_path / "one"), "--quiet"]) == 0
    assert capsys.readouterr().out == gathered


def test_ray_on_slurm_answers_and_leaves_nothing(stand_in: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed; `make setup-ray` does it")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    script, out = tmp_path / "ray.sbatch", tmp_path / "all"
    script.write_text(SCRIPTS["ray.sbatch"])
    marker = f"{os.getpid()}-{time.time_ns()}"
    environment = {**stand_in, "SLURM_JOB_NODELIST": "one", "RAY_PORT": str(port), "ROPEPP_EVAL_TEST": marker}
    arguments = [
        str(tiny_checkpoint),
        *CELLS,
        "--out",
        str(out),
        "--workers",
        "1",
        "--cpus-per-worker",
        "1",
        "--format",
        "none",
    ]
    done = subprocess.run(["bash", str(script), *arguments], env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert len(stored(out)) == 6
    assert until(lambda: not processes_with(marker), 15)
