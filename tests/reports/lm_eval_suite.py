"""The short suite's tasks by name on a few made questions, and lm-eval's real result files from them."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

from tests.warm.start import Warm

MEMBERS = (
    "truthfulqa_mc2", "piqa", "hellaswag", "winogrande", "arc_easy", "gpqa_diamond_zeroshot", "social_iqa",
    "short_openbookqa", "boolq", "cb", "copa", "multirc", "record", "sglue_rte", "wic", "wsc",
)  # fmt: skip
METRICS = {
    "hellaswag": ("acc", "acc_norm"),
    "piqa": ("acc", "acc_norm"),
    "cb": ("acc", "brier_score"),
    "record": ("brier_score",),
}
"""Metrics of each task; `acc` alone where not named. Brier's score is made of pairs by a function of lm-eval's own."""
QUESTIONS = 8
WORDS = "red green blue round square tall small heavy light warm".split()


def write_tasks(folder: Path) -> Path:
    """A folder of lm-eval tasks with the suite's names, each with its own questions."""
    stream = random.Random(1)
    folder.mkdir()
    for name in MEMBERS:
        questions = []
        for i in range(QUESTIONS):
            choices = stream.sample(WORDS, 4 if name not in ("cb", "record") else 2)
            right = stream.randrange(len(choices))
            questions.append({"question": f"{name} {i}: which is {choices[right]}?", "choices": choices, "answer": right})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}\nAnswer:",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "answer",
            "metric_list": [
                {"metric": metric, "aggregation": "mean" if "acc" in metric else metric, "higher_is_better": "acc" in metric}
                for metric in METRICS.get(name, ("acc",))
            ],
        }
        (folder / f"{name}.yaml").write_text(json.dumps(task))  # JSON is YAML
    return folder


def evaluate(folder: Path, tasks: Path, calls: dict[Path, str], warm: Warm) -> Path:
    """What `ropepp-eval lm-eval --tasks ... --log_samples` writes into `folder`; `calls` holds the tasks of each checkpoint."""
    common = ["--model", "ropepp", "--include_path", str(tasks), "--output_path", str(folder), "--log_samples"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for one, names in calls.items():
        command = warm.command("lm-eval", *common, "--tasks", names, "--model_args", f"pretrained={one},dtype=float32")
        done = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder
