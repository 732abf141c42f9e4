"""The tasks work through plain lm-eval, from a checkout where the package is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
NOT_INSTALLED = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [entry for entry in sys.path if entry not in ("", {checkout!r})]
import importlib.util
assert importlib.util.find_spec("ropepp_eval") is None
from lm_eval.__main__ import cli_evaluate
sys.argv = ["lm_eval", *{arguments!r}]
cli_evaluate()
"""


def lm_eval(arguments: list[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "plain_lm_eval.py"
    script.write_text(textwrap.dedent(NOT_INSTALLED).format(checkout=str(CHECKOUT), arguments=arguments), encoding="utf-8")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "ROPEPP_EVAL_CACHE": "off"}
    return subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
    )


@pytest.mark.parametrize("tasks", ["niah_single_1", "ruler"])
def test_plain_lm_eval_runs_a_task_and_the_group_from_a_checkout(
    tasks: str, tmp_path: Path, tiny_tokenizer_dir: Path
) -> None:
    metadata = {"tokenizer": str(tiny_tokenizer_dir), "length_tokens": 6000, "samples": 2}
    arguments = ["--include_path", str(CHECKOUT / "tasks"), "--tasks", tasks, "--model", "dummy", "--limit", "2"]
    done = lm_eval([*arguments, "--metadata", json.dumps(metadata)], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    expected = 15 if tasks == "ruler" else 1
    assert sum(tasks.split(",")[0] in name or "-" in name for name in shown) >= 1
    assert len([name for name in shown if name and name not in ("Tasks", "Groups") and set(name) - set("-:")]) >= expected
