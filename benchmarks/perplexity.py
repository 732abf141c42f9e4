"""Sliding-window perplexity, 4,096 tokens every 512: ours against a loop that computes all logits, as the authors' script does.

Only full windows are timed: on a long text they are nearly all there is, and ours would gain on the short first ones.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from typing import Any

import _common as common


def main() -> int:
    options = common.parser(__doc__ or "")
    given = options.parse_args()
    if given.side:
        print(json.dumps(perplexity(given.side, given.folder, **json.loads(given.settings))))
        return 0
    window, stride = (512, 64) if given.quick else (4096, 512)
    with common.checkpoint("tiny" if given.quick else "376M", quick=given.quick) as folder:

        def side(name: str, **settings: object) -> dict[str, Any]:
            return common.run_side(__file__, name, folder, given.quick, window=window, stride=stride, **settings)

        theirs, ours = (side(name, dtype="bfloat16", windows=4) for name in ("loop", "ours"))
        exact = [side(name, dtype="float32", windows=2) for name in ("loop", "ours")]
    difference = abs(exact[1]["perplexity"] / exact[0]["perplexity"] - 1)
    checks = [
        common.Check("times faster", theirs["seconds"] / ours["seconds"], 1.5, "at least"),
        common.Check("relative difference of the float32 perplexity", difference, 1e-5, exact=True),
    ]
    return common.finish("perplexity", checks, quick=given.quick, peak_ratio=ours["peak"] / theirs["peak"])


def perplexity(side: str, folder: str, *, window: int, stride: int, windows: int, dtype: str) -> dict[str, float]:
    """Seconds, peak bytes and perplexity over full windows."""
    from ropepp_eval.adapters.native import NativeLM

    warnings.simplefilter("ignore")
    lm = NativeLM(folder, dtype=dtype, device="cpu")
    text = common.words(window + stride * (windows - 1), 7)
    run = loop_losses if side == "loop" else our_losses
    run(lm, common.words(stride * 2, 8), stride * 2, stride)
    common.forget_peak()
    with common.Stopwatch() as watch:
        losses = run(lm, text, window, stride)
    mean = math.fsum(losses) / len(losses)
    return {"seconds": watch.seconds, "peak": common.peak_bytes(), "perplexity": math.exp(mean), "windows": len(losses)}


def loop_losses(lm: Any, text: str, window: int, stride: int) -> list[float]:
    """Mean loss of each full window through transformers' own loss, all logits computed."""
    import torch

    ids = torch.tensor([lm.tokenizer.encode(text)])
    losses = []
    for end in range(window, ids.shape[1] + 1, stride):
        part = ids[:, end - window : end]
        labels = part.clone()
        labels[:, :-stride] = -100
        with torch.inference_mode():
            losses.append(float(lm.model(input_ids=part, labels=labels, use_cache=False).loss))
    return losses


def our_losses(lm: Any, text: str, window: int, stride: int) -> list[float]:
    """The same through the adapter's scorer."""
    from dataclasses import replace

    from lm_eval.api.instance import Instance

    request = Instance("sliding_window", {}, (text, {"window": window, "stride": stride}), 0)
    job = lm.encoder.job(0, request)
    job = replace(job, spans=tuple(span for span in job.spans if len(span.ids) == window))
    ((_, answer),) = lm._answers([job])
    return [-math.fsum(part.logprobs) / len(part.logprobs) for part in answer.response]


if __name__ == "__main__":
    sys.exit(main())
