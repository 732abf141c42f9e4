"""64 new tokens after 4,096: ours against transformers' `generate`, one row and four rows of nearly equal lengths."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import _common as common


def main() -> int:
    options = common.parser(__doc__ or "")
    given = options.parse_args()
    if given.side:
        print(json.dumps(generate(given.side, given.folder, **json.loads(given.settings))))
        return 0
    length, new = (256, 16) if given.quick else (4096, 64)
    seconds: dict[tuple[str, int], list[float]] = {}
    texts: dict[tuple[str, int], Any] = {}
    with common.checkpoint("tiny" if given.quick else "376M", quick=given.quick) as folder:
        for rows, side in (
            (1, "transformers"),
            (1, "ours"),
            (1, "ours"),
            (1, "transformers"),
            (4, "transformers"),
            (4, "ours"),
        ):
            result = common.run_side(
                __file__, side, folder, given.quick, length=length, new=new, rows=rows, dtype="bfloat16"
            )
            seconds.setdefault((side, rows), []).append(result["seconds"])
        for side in ("transformers", "ours"):
            texts[side, 1] = common.run_side(
                __file__, side, folder, given.quick, length=length // 4, new=new, rows=1, dtype="float32"
            )["values"]
    one = min(seconds["ours", 1]) / min(seconds["transformers", 1])
    several = seconds["transformers", 4][0] / seconds["ours", 4][0]
    checks = [
        common.Check("time of one row, times transformers'", one, 1.05),
        common.Check("times faster with four rows", several, 1.0, "at least"),
        common.Check("float32 texts that differ", float(texts["ours", 1] != texts["transformers", 1]), 0.0, exact=True),
    ]
    return common.finish("generate", checks, quick=given.quick)


def generate(side: str, folder: str, *, length: int, new: int, rows: int, dtype: str) -> dict[str, Any]:
    """Seconds and texts of greedy continuations of `new` tokens."""
    from ropepp_eval.adapters.native import NativeLM

    warnings.simplefilter("ignore")
    lm = NativeLM(folder, dtype=dtype, device="cpu")
    lm.end_ids = frozenset()  # random weights may write EOS; both sides write all tokens
    prompts = [common.words(length - 16 * row, row) for row in range(rows)]
    run = ours if side == "ours" else transformers_generate
    run(lm, [common.words(64, 5)], 4)
    common.forget_peak()
    with common.Stopwatch() as watch:
        values = run(lm, prompts, new)
    return {"seconds": watch.seconds, "peak": common.peak_bytes(), "values": values}


def ours(lm: Any, prompts: list[str], new: int) -> list[str]:
    from lm_eval.api.instance import Instance

    asked = [Instance("generate_until", {}, (prompt, {"max_gen_toks": new}), i) for i, prompt in enumerate(prompts)]
    texts: list[str] = lm.generate_until(asked, disable_tqdm=True)
    return texts


def transformers_generate(lm: Any, prompts: list[str], new: int) -> list[str]:
    """transformers' own loop, padded on the left."""
    import torch

    ids = [lm.tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    with torch.inference_mode():
        out = lm.model.generate(
            padded, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0
        )
    texts: list[str] = [lm.tokenizer.decode(row[longest:].tolist(), skip_special_tokens=True) for row in out]
    return texts


if __name__ == "__main__":
    sys.exit(main())
