"""What the benchmarks share: checkpoints of the paper's shapes with random weights, peak memory, and the last line.

Both sides of a comparison run in processes of their own, one after the other, on the same files in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.processes import forget_peak as forget_peak
from ropepp_eval.processes import peak_bytes as peak_bytes

SHAPES = {
    "376M": {
        "hidden_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 3584,
    },
    "776M": {
        "hidden_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 6,
        "intermediate_size": 5376,
    },
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
    },
}
"""Hidden size, layers and heads from the paper; the MLP's width is chosen so that the parameters match the name."""
VOCABULARY = 128256
WORDS = 1000


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--quick", action="store_true", help="tiny shapes: shows that it runs, says nothing about speed")
    options.add_argument("--side", help=argparse.SUPPRESS)
    options.add_argument("--folder", help=argparse.SUPPRESS)
    options.add_argument("--settings", default="{}", help=argparse.SUPPRESS)
    return options


@contextlib.contextmanager
def checkpoint(shape: str, *, quick: bool = False) -> Iterator[Path]:
    """A folder with random bfloat16 weights of a shape and a tokenizer of 1,000 words, gone afterwards."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        config = LlamaConfig(
            vocab_size=4096 if quick else VOCABULARY,
            max_position_embeddings=65536,
            tie_word_embeddings=False,
            bos_token_id=1,
            eos_token_id=2,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            **SHAPES[shape],
        )
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(torch.float32)
        model.save_pretrained(name)
        print(f"random checkpoint of the {shape} shape: {model.num_parameters():,} parameters", flush=True)
        del model
        write_tokenizer(Path(name))
        yield Path(name)


def write_tokenizer(folder: Path) -> None:
    """Words `w0` to `w999`, one token each."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    entries = {name: number for number, name in enumerate(["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(WORDS))])}
    backend = Tokenizer(models.WordLevel(entries, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>").save_pretrained(
        folder
    )


def words(count: int, seed: int) -> str:
    """A text of `count` tokens."""
    import random

    stream = random.Random(seed)
    return " ".join(f"w{stream.randrange(WORDS)}" for _ in range(count))


def run_side(script: str, side: str, folder: Path, quick: bool, **settings: Any) -> dict[str, Any]:
    """One side in a process of its own; gives the JSON of its last line."""
    command = [sys.executable, script, "--side", side, "--folder", str(folder), "--settings", json.dumps(settings)]
    done = subprocess.run([*command, *(["--quick"] if quick else [])], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    shown = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in result.items() if name != "values"
    }
    print(f"  {side} {settings}: {shown}", flush=True)
    return result


class Stopwatch:
    """Seconds of a `with` block."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began


def machine() -> dict[str, Any]:
    """What ran this."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
    }


@dataclass(frozen=True)
class Check:
    """One figure and the bar it is held to."""

    what: str
    value: float
    bar: float
    direction: str = "at most"
    """Or `at least`."""
    exact: bool = False
    """A claim about results, which holds at any size; the others are about time and memory."""

    @property
    def ok(self) -> bool:
        return self.value >= self.bar if self.direction == "at least" else self.value <= self.bar


def finish(name: str, checks: list[Check], *, quick: bool, **more: Any) -> int:
    """Print the checks and the JSON line; the exit status.

    A quick run's checks of time and memory are not judged: its shapes say nothing about them.
    """
    rows: list[dict[str, Any]] = []
    for check in checks:
        judged = check.exact or not quick
        verdict = ("ok" if check.ok else "MISSED") if judged else "not judged"
        print(f"{check.what}: {check.value:.6g} ({check.direction} {check.bar:g}): {verdict}")
        row = {"what": check.what, "ratio": round(check.value, 8), "bar": check.bar, "direction": check.direction}
        rows.append({**row, "ok": check.ok if judged else None})
    ok = all(row["ok"] for row in rows if row["ok"] is not None)
    if quick:
        print("QUICK: tiny shapes; the figures of time and memory say that the script runs and nothing else")
    first = rows[0] if rows else {"ratio": None, "bar": None}
    line = {"name": name, "ratio": first["ratio"], "bar": first["bar"], "ok": ok, "quick": quick, "checks": rows, **more}
    print(json.dumps({**line, "machine": machine()}))
    return 0 if ok else 1
