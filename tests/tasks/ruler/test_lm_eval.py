"""The tasks work through plain lm-eval, from a checkout where the package is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
NOT_INSTALLED = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [entry for entry in sys.path if entry not in ("", {checkout!r})]
import importlib.util
assert importlib.util.find_spec("ropepp_eval") is None
import runpy
runpy.run_path({remember!r})["remember"](__import__("pathlib").Path({index!r}))  # its own tasks are none of ours
from lm_eval.__main__ import cli_evaluate
for arguments in {calls!r}:
    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()
    print("THE END")
"""


def lm_eval(calls: list[list[str]], tmp_path: Path, index: Path) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "plain_lm_eval.py"
    remember = str(CHECKOUT / "tests" / "lm_eval_index.py")
    code = textwrap.dedent(NOT_INSTALLED).format(checkout=str(CHECKOUT), calls=calls, remember=remember, index=str(index))
    script.write_text(code, encoding="utf-8")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "ROPEPP_EVAL_CACHE": "off"}
    return subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
    )


def test_plain_lm_eval_runs_a_task_and_the_group_from_a_checkout(
    tmp_path: Path, tiny_tokenizer_dir: Path, lm_eval_index: Path
) -> None:
    metadata = json.dumps({"tokenizer": str(tiny_tokenizer_dir), "length_tokens": 6000, "samples": 2})
    common = ["--include_path", str(CHECKOUT / "tasks"), "--model", "dummy", "--limit", "2", "--metadata", metadata]
    asked = {"niah_single_1": 1, "ruler": 15}  # and the lines of the table at least
    done = lm_eval([[*common, "--tasks", tasks] for tasks in asked], tmp_path, lm_eval_index)
    assert done.returncode == 0, done.stderr[-3000:]
    for printed, (tasks, expected) in zip(done.stdout.split("THE END\n"), asked.items(), strict=False):
        shown = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")]
        assert sum(tasks in name or "-" in name for name in shown) >= 1
        assert (
            len([name for name in shown if name and name not in ("Tasks", "Groups") and set(name) - set("-:")]) >= expected
        )
