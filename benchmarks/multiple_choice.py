"""Four choices on a long context: ours against lm-eval's HFLM, and one question at 64k in bounded memory.

python benchmarks/multiple_choice.py           # some ten minutes on two cores
python benchmarks/multiple_choice.py --quick   # half a minute; shows that it runs
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import _common as common
from lm_eval.api.instance import Instance

CHOICES, CHOICE_TOKENS = 4, 5


def main() -> int:
    options = common.parser(__doc__ or "")
    given = options.parse_args()
    if given.side:
        print(json.dumps(score(given.side, given.folder, **json.loads(given.settings))))
        return 0
    lengths, longest = ((256, 512), 1024) if given.quick else ((2048, 4096), 65536)
    bars = dict(zip(lengths, (4.0, 6.0), strict=True))
    checks = []
    with common.checkpoint("tiny" if given.quick else "376M", quick=given.quick) as folder:

        def side(name: str, **settings: object) -> dict[str, Any]:
            return common.run_side(__file__, name, folder, given.quick, **settings)

        for length in reversed(lengths):
            theirs, ours = side("hflm", length=length, dtype="bfloat16"), side("ours", length=length, dtype="bfloat16")
            checks.append(
                common.Check(f"times faster at {length}", theirs["seconds"] / ours["seconds"], bars[length], "at least")
            )
            if length == lengths[-1]:  # at shorter lengths weights and libraries are most of both
                checks.append(common.Check(f"peak memory at {length}", ours["peak"] / theirs["peak"], 0.35))
        theirs, ours = (side(name, length=lengths[0], dtype="float32", questions=1) for name in ("hflm", "ours"))
        difference = max(abs(a - b) for a, b in zip(theirs["values"], ours["values"], strict=True))
        checks.append(common.Check("largest difference of a float32 score", difference, 1e-4, exact=True))
        long = side("ours", length=longest - CHOICE_TOKENS, dtype="bfloat16", questions=1, whole_process=True)
        checks.append(common.Check(f"GiB at {longest}, loading included", long["peak"] / 2**30, 4.0))
    return common.finish("multiple_choice", checks, quick=given.quick, seconds_at_longest=long["seconds"])


def score(
    side: str, folder: str, *, length: int, dtype: str, questions: int = 2, whole_process: bool = False
) -> dict[str, object]:
    """Seconds, peak bytes and log-likelihoods of all choices of some questions."""
    warnings.simplefilter("ignore")
    if side == "hflm":
        from lm_eval.models.huggingface import HFLM

        lm = HFLM(pretrained=folder, dtype=dtype, device="cpu", batch_size=1, max_length=length + CHOICE_TOKENS)
    else:
        from ropepp_eval.adapters.native import NativeLM

        lm = NativeLM(folder, dtype=dtype, device="cpu")
    lm.loglikelihood(requests(128, 1, 99), disable_tqdm=True)
    if not whole_process:
        common.forget_peak()
    with common.Stopwatch() as watch:
        values = lm.loglikelihood(requests(length, questions, 0), disable_tqdm=True)
    return {"seconds": watch.seconds, "peak": common.peak_bytes(), "values": [value for value, _ in values]}


def requests(length: int, questions: int, seed: int) -> list[Instance]:
    """Contexts of `length` tokens, each with its choices."""
    arguments = [
        (
            common.words(length, 1000 * seed + question),
            " " + common.words(CHOICE_TOKENS, 1000 * seed + 10 * question + choice + 1),
        )
        for question in range(questions)
        for choice in range(CHOICES)
    ]
    return [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(arguments)]


if __name__ == "__main__":
    sys.exit(main())
