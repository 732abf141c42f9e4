"""64 rows of niah_single_1 at 2k on a random checkpoint of 50M parameters: rows a second of both adapters, and what our
adapter costs over a bare `LLM.generate` of the same token ids. Needs vLLM (`make setup-vllm`)."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import _common as common

LENGTH_TOKENS, ROWS, BUDGET = 2048, 64, 128
SHAPE_50M = {
    "vocab_size": 32000, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
    "intermediate_size": 1024, "tie_word_embeddings": False,
}  # fmt: skip
SHAPE_QUICK = {
    "vocab_size": 2048, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 64, "tie_word_embeddings": True,
}  # fmt: skip


def main() -> int:
    options = common.parser(__doc__ or "")
    given = options.parse_args()
    if given.side:
        print(json.dumps(side(given.side, given.folder, **json.loads(given.settings))))
        return 0
    if importlib.util.find_spec("vllm") is None:
        print("backends: skipped, vLLM is not installed; `make setup-vllm` does it")
        print(json.dumps({"name": "backends", "skipped": "vLLM is not installed"}))
        return 0
    rows = 4 if given.quick else ROWS
    with tempfile.TemporaryDirectory(prefix="ropepp-bench-") as name:
        folder = write_checkpoint(Path(name), SHAPE_QUICK if given.quick else SHAPE_50M)
        native = common.run_side(__file__, "native", folder, given.quick, rows=rows)
        vllm = common.run_side(__file__, "vllm", folder, given.quick, rows=rows)
    overhead = min(vllm["ours"]) / min(vllm["bare"]) - 1
    speedup = rows / min(vllm["ours"]) / native["rows_per_second"]
    print(f"rows a second: native {native['rows_per_second']:.3f}, vllm {rows / min(vllm['ours']):.3f}")
    checks = [
        common.Check("our adapter's time over a bare LLM.generate", overhead, 0.05),
        common.Check("vllm's rows a second, times native's", speedup, 0.0, "at least"),
        common.Check("rows whose texts differ from bare LLM.generate's", float(vllm["differ"]), 0.0, exact=True),
    ]
    return common.finish(
        "backends", checks, quick=given.quick, native=native["rows_per_second"], vllm=rows / min(vllm["ours"])
    )


def write_checkpoint(folder: Path, shape: dict[str, Any]) -> Path:
    """A random RoPE++ EC checkpoint in bfloat16 with the demo's tokenizer."""
    import shutil

    import torch

    from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
    from ropepp_eval.paths import resource_dir

    torch.manual_seed(0)
    config = RopePPConfig(
        **shape, head_dim=64, max_position_embeddings=4096, position="ropepp_ec", bos_token_id=0, eos_token_id=0
    )
    model = RopePPForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    for file in (resource_dir("models") / "tokenizer").iterdir():
        shutil.copy(file, folder)
    print(f"random checkpoint: {model.num_parameters():,} parameters", flush=True)
    return folder


def requests_of(folder: str, rows: int) -> list[Any]:
    """The rows as lm-eval requests; every row may write its whole budget, so that both sides write as many tokens."""
    from lm_eval.api.instance import Instance

    from ropepp_eval.adapters.verify import VerifySettings, prompts_of

    prompts = prompts_of(VerifySettings(checkpoint=folder, lengths=(LENGTH_TOKENS,), samples=rows), LENGTH_TOKENS)
    return [Instance("generate_until", {}, (prompt, {"max_gen_toks": BUDGET}), i) for i, prompt in enumerate(prompts)]


def side(name: str, folder: str, *, rows: int) -> dict[str, Any]:
    """Seconds of one adapter on the same rows."""
    warnings.simplefilter("ignore")
    requests = requests_of(folder, rows)
    return vllm_side(folder, requests) if name == "vllm" else native_side(folder, requests)


def native_side(folder: str, requests: list[Any]) -> dict[str, Any]:
    from ropepp_eval.adapters.native import NativeLM

    lm = NativeLM(folder, dtype="bfloat16", device="auto")
    lm.generate_until(requests[:2], disable_tqdm=True)
    with common.Stopwatch() as watch:
        lm.generate_until(requests, disable_tqdm=True)
    return {"rows_per_second": len(requests) / watch.seconds, "seconds": watch.seconds}


def vllm_side(folder: str, requests: list[Any]) -> dict[str, Any]:
    """Our adapter and the bare engine take turns on one engine, without its prefix cache, which would favour the second."""
    from vllm import SamplingParams

    from ropepp_eval.adapters.vllm import VllmLM

    lm = VllmLM(folder, dtype="bfloat16", max_length=LENGTH_TOKENS, enable_prefix_caching=False)
    engine = lm.engine
    assert engine is not None
    llm = engine._llm

    def bare() -> list[str]:
        params = SamplingParams(
            temperature=0, max_tokens=BUDGET, detokenize=False, ignore_eos=True, stop_token_ids=sorted(lm.end_ids)
        )
        prompts = [{"prompt_token_ids": lm.encoder.encode(request.args[0])} for request in requests]
        outputs = llm.generate(prompts, params, use_tqdm=False)
        return [lm.tokenizer.decode(output.outputs[0].token_ids, skip_special_tokens=True) for output in outputs]

    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    texts: dict[str, list[str]] = {}
    lm.generate_until(requests[:2], disable_tqdm=True)
    for name in ("bare", "ours", "ours", "bare"):
        with common.Stopwatch() as watch:
            texts[name] = bare() if name == "bare" else lm.generate_until(requests, disable_tqdm=True)
        seconds[name].append(watch.seconds)
    lm.close()
    return {**seconds, "differ": sum(a != b for a, b in zip(texts["ours"], texts["bare"], strict=True))}


if __name__ == "__main__":
    sys.exit(main())
