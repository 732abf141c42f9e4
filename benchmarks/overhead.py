"""What the adapter costs besides the model: 200 rows of niah_single_1 at 2k with a tiny checkpoint."""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import _common as common


class Timed:
    """Counts the seconds inside a callable."""

    def __init__(self, function: Any) -> None:
        self.function, self.seconds, self.calls = function, 0.0, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began
            self.calls += 1


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--checkpoint", default=str(Path(__file__).parents[1] / "models" / "demo" / "rope"))
    options.add_argument("--rows", type=int, help="other than 200")
    options.add_argument("--profile", action="store_true", help="print where the rest goes")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    from ropepp_eval.adapters.native import NativeLM
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    rows = given.rows or (10 if given.quick else 200)
    tokenizer = load_tokenizer(given.checkpoint)
    requests = niah_requests(tokenizer, rows)
    lm = NativeLM(given.checkpoint, device="cpu", max_length=4096)  # rows of 2k may be longer than it was trained for
    list(lm.answers(requests[:2]))
    decoder, head = Timed(lm.model.model.forward), Timed(lm.model.lm_head.forward)
    lm.model.model.forward, lm.model.lm_head.forward = decoder, head
    profile = cProfile.Profile()
    with common.Stopwatch() as watch:
        if given.profile:
            profile.enable()
        answers = [answer for _, answer in lm.answers(requests)]
        profile.disable()
    assert all(answer.error is None for answer in answers)
    model = decoder.seconds + head.seconds
    print(
        f"{rows} rows, {sum(a.new_tokens for a in answers)} new tokens, {decoder.calls} calls: {watch.seconds:.2f} s, model {model:.2f} s"
    )
    if given.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)
    checks = [common.Check("share of the time outside the model", 1 - model / watch.seconds, 0.05)]
    return common.finish("overhead", checks, quick=given.quick)


def niah_requests(tokenizer: Any, rows: int) -> list[Any]:
    """The requests of `rows` rows of niah_single_1 at 2k, on generated text."""
    from ropepp_eval.data import open_data
    from ropepp_eval.rows.catalogue import task_entries
    from ropepp_eval.rows.lm_eval_task import requests_of
    from ropepp_eval.rows.row import RowRequest

    task = task_entries()["niah_single_1"]
    request = RowRequest(
        task="niah_single_1",
        length_tokens=2048,
        samples=rows,
        seed=42,
        protocol="reference",
        tokenizer=tokenizer,
        data=open_data(None, offline=True),
    )
    built = task.build_rows()(request)
    return [one for row in built for one in requests_of(row, task.output_type, dict(task.generation), doc=row.as_doc())]


if __name__ == "__main__":
    sys.exit(main())
