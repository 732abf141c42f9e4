"""Forecasts of memory and time against what was measured: seven shapes, five mixed plans.

Each shape and each plan runs in a process of its own, through `run` as people start it. Memory is the kernel's own peak of resident
memory. A plan's time is that of its rows; the estimate after a tenth of the work is the time then spent and the time then left.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common as common

ROOT = Path(__file__).resolve().parents[1]
DEMO = "models/demo/rope"
MEMORY_BAR, FIRST_BAR, TENTH_BAR = 0.10, 0.30, 0.15
SHAPES: dict[str, dict[str, Any]] = {
    "30M": {"vocab_size": 32000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12,
            "num_attention_heads": 6, "num_key_value_heads": 2},
    "135M": {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
             "num_attention_heads": 9, "num_key_value_heads": 3},
    "376M": {"vocab_size": 128256, "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 8,
             "num_attention_heads": 8, "num_key_value_heads": 4, "tie_word_embeddings": False},
    "1.5B": {"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 20,
             "num_attention_heads": 16, "num_key_value_heads": 8},
}  # fmt: skip
MEMORY = {
    "1M, 64k": {"shape": DEMO, "tasks": "vt", "lengths": "64k", "samples": 1},
    "1M, 16 rows of 2k": {"shape": DEMO, "tasks": "vt", "lengths": "2k", "samples": 16},
    "30M, 16k": {"shape": "30M", "tasks": "vt", "lengths": "16k", "samples": 1},
    "135M, 8 rows of 2k": {"shape": "135M", "tasks": "vt", "lengths": "2k", "samples": 8, "new_tokens": 3},
    "135M, 4k, eager": {
        "shape": "135M",
        "tasks": "vt",
        "lengths": "4k",
        "samples": 1,
        "attention": "eager",
        "new_tokens": 3,
    },
    "376M, choices on 4k": {"shape": "376M", "tasks": "openbookqa_book", "lengths": "4k", "samples": 1},
    "1.5B, 2k": {"shape": "1.5B", "tasks": "vt", "lengths": "2k", "samples": 1, "new_tokens": 3},
}
"""`new_tokens`: generation ends there, since its steps hold nothing new."""
PLANS = {
    "retrieval": {"shape": DEMO, "tasks": "niah_single_1,niah_multikey_1,vt", "lengths": "1k,2k,4k", "samples": 12},
    "short and long": {"shape": DEMO, "tasks": "niah_single_2", "lengths": "512,2k,8k,16k", "samples": 6},
    "choices": {"shape": DEMO, "tasks": "openbookqa,openbookqa_book", "lengths": "1k,4k", "samples": 60},
    "perplexity": {"shape": "30M", "tasks": "wikitext_positions,lambada", "lengths": "512,1k", "samples": 12},
    "questions": {"shape": "30M", "tasks": "babilong_qa1,niah_single_1", "lengths": "512,1k", "samples": 8},
}
QUICK_MEMORY, QUICK_PLANS = ("1M, 16 rows of 2k",), ("choices",)


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--only", choices=("memory", "plans"), help="half of it")
    given = options.parse_args()
    if given.side:
        settings = json.loads(given.settings)
        print(json.dumps({"memory": memory_side, "plan": plan_side}[given.side](given.folder, settings)))
        return 0
    checks: list[common.Check] = []
    results: list[dict[str, Any]] = []
    memory = {name: MEMORY[name] for name in QUICK_MEMORY} if given.quick else MEMORY
    plans = {name: PLANS[name] for name in QUICK_PLANS} if given.quick else PLANS
    print(f"{'':24} {'forecast':>12} {'measured':>12} {'ratio':>7}")
    for name, settings in () if given.only == "plans" else memory.items():
        with checkpoint(str(settings["shape"])) as folder:
            found = common.run_side(__file__, "memory", folder, given.quick, **settings)
        results.append({"name": name, **found})
        show(name, found["forecast"], found["measured"], "MiB", 2**20)
        checks.append(common.Check(f"memory: {name}", off(found["forecast"], found["measured"]), MEMORY_BAR))
    for name, settings in () if given.only == "memory" else plans.items():
        with checkpoint(str(settings["shape"])) as folder:
            found = common.run_side(__file__, "plan", folder, given.quick, **settings)
        results.append({"name": name, **found})
        show(name, found["first"], found["measured"], "s", 1)
        show("  after a tenth", found["tenth"], found["measured"], "s", 1)
        checks.append(common.Check(f"time: {name}, before the first row", off(found["first"], found["measured"]), FIRST_BAR))
        checks.append(common.Check(f"time: {name}, after a tenth", off(found["tenth"], found["measured"]), TENTH_BAR))
    return common.finish("forecasts", checks, quick=given.quick, results=results)


def off(forecast: float, measured: float) -> float:
    """How far the forecast is off, as a share of what was measured."""
    return abs(forecast / measured - 1)


def show(name: str, forecast: float, measured: float, unit: str, size: float) -> None:
    """One line of the table."""
    print(
        f"{name:24} {forecast / size:>8,.1f} {unit:>3} {measured / size:>8,.1f} {unit:>3} {forecast / measured:>7.3f}",
        flush=True,
    )


@contextlib.contextmanager
def checkpoint(shape: str) -> Iterator[Path]:
    """A folder with a demo model, or with random float32 weights of a shape and the demo's tokenizer, gone afterwards."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if shape == DEMO:
        yield ROOT / DEMO
        return
    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        rope = {"rope_type": "default", "rope_theta": 500000.0}
        settings = {"tie_word_embeddings": True, **SHAPES[shape]}
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=65536, rope_parameters=rope, **settings))
        finally:
            torch.set_default_dtype(torch.float32)
        model.save_pretrained(name)
        del model
        for file in (ROOT / "models" / "tokenizer").iterdir():
            shutil.copy(file, name)
        yield Path(name)


def config_of(folder: str, settings: dict[str, Any], out: str) -> Any:
    from ropepp_eval.runs.config import RunConfig

    asked = {name: value for name, value in settings.items() if name not in ("shape", "new_tokens")}
    return RunConfig.of(
        folder, **asked, dtype="float32", device="cpu", out=out, quiet=True, allow_beyond_trained_length=True, offline=True
    )


def memory_side(folder: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The forecast of a plan's largest cell as preflight makes it, and the peak of the run."""
    from ropepp_eval.adapters.native import generation
    from ropepp_eval.runs import execute
    from ropepp_eval.runs.forecast import Forecaster
    from ropepp_eval.runs.plan import build_plan

    if "new_tokens" in settings:
        most = int(settings["new_tokens"])

        class Brief(generation.Writer):
            def __init__(self, tokenizer: Any, budget: int, *more: Any, **named: Any) -> None:
                super().__init__(tokenizer, min(budget, most), *more, **named)

        generation.Writer = Brief  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as out:
        config = config_of(folder, settings, out)
        forecaster = Forecaster(build_plan(config))
        planned = max((forecaster.cell(cell).memory for cell in forecaster.plan.cells), key=lambda one: one.total)
        common.forget_peak()
        began = time.perf_counter()
        execute.run(config)
        seconds = time.perf_counter() - began
    return {"forecast": planned.total, "measured": common.peak_bytes(), "seconds": seconds}


def plan_side(folder: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The estimates of a run before its first row and after a tenth of its work, and the seconds of its rows."""
    from ropepp_eval.runs import execute, progress

    began: list[float] = []
    seen: list[tuple[float, float]] = []

    class Watched(progress.Progress):
        def foreseen(self, seconds: Any) -> None:
            super().foreseen(seconds)
            began[:] = [time.perf_counter()]
            seen[:] = [(0.0, self.seconds_left or 0.0)]

        def row_done(self, cell: Any, record: Any) -> None:
            super().row_done(cell, record)
            seen.append((time.perf_counter() - began[0], self.seconds_left or 0.0))

    execute.Progress = Watched  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as out:
        execute.run(config_of(folder, settings, out))
    measured = seen[-1][0]
    spent, left = next(pair for pair in seen if pair[0] >= measured / 10)
    return {
        "first": seen[0][1],
        "tenth": spent + left,
        "measured": measured,
        "tenth_at": spent / measured,
        "rows": len(seen) - 1,
    }


if __name__ == "__main__":
    sys.exit(main())
