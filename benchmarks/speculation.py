"""Would guessing from the prompt help? n-gram speculation on real answers, against writing token by token.

Answers of retrieval copy from their prompt, so the text behind an earlier place that ends like the answer so far is a guess at what comes
next; the model reads the guess in one call and keeps what it would have written itself. That is exact under greedy decoding. Here a real
model (SmolLM2-135M-Instruct) answers RULER rows: each prompt is read once, then its answer is written both ways from the same cache. For
answers written side by side, which is what a run does, a step of `ROWS` rows is timed too. Nothing of this is in the adapter: whether it
should be is what is asked.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import _common as common
import numpy as np
import real_model as real

from ropepp_eval.errors import UserError

TASKS = ("niah_single_2", "niah_multikey_1", "vt")
LENGTHS = (2048, 4096, 8192)
LONGEST_MATCH, GUESSED = 3, 8
"""Tokens of the answer's end that are looked for, the longest match first, and tokens that are guessed."""
ROWS = 8
"""Written side by side, for comparison."""
STEPS = 5
"""Of that kind that are timed."""


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=2, help="of each task and length (default 2)")
    given = options.parse_args()
    from ropepp_eval.demo.real_model import real_model

    try:
        folder = str(real_model())
    except UserError as error:
        print(f"not run: {error}")
        return 0
    lengths, tasks = (LENGTHS[:1], TASKS[:1]) if given.quick else (LENGTHS, TASKS)
    lm = real._model("ours", folder, "float32")
    found = []
    print(
        f"{'':24}{'prompt s':>10}{'tokens':>8}{'calls':>8}{'alone s':>9}{'guessing s':>12}{'row':>7}{'of 8 s':>8}{'row':>7}"
    )
    for length in lengths:
        side_by_side = seconds_of_a_step(lm, length)
        for task in tasks:
            for row in real._rows(folder, task, length, 1 if given.quick else given.rows):
                one = measured(lm, row)
                one |= {"task": task, "length": length, "side_by_side": side_by_side * (one["tokens"] - 1) / ROWS}
                found.append(one)
                print(
                    f"{task + ' ' + format(length, ','):24}{one['read']:>10.2f}{one['tokens']:>8}{one['calls']:>8}"
                    f"{one['alone']:>9.2f}{one['guessing']:>12.2f}{gain(one, 'alone'):>7.2f}"
                    f"{one['side_by_side']:>8.2f}{gain(one, 'side_by_side'):>7.2f}",
                    flush=True,
                )
    checks = [
        common.Check("share of answers that are the same", statistics.mean(one["same"] for one in found), 1, "at least", exact=True),
        common.Check("times quicker, rows one by one", total_gain(found, "alone"), 1.5, "at least"),
        common.Check("times quicker, than rows side by side", total_gain(found, "side_by_side"), 1.5, "at least"),
    ]  # fmt: skip
    return common.finish("speculation", checks, quick=given.quick, rows=found)


def gain(one: dict[str, Any], other: str) -> float:
    """How much quicker a row is by guessing, its prompt included."""
    quicker: float = (one["read"] + one[other]) / (one["read"] + one["guessing"])
    return quicker


def total_gain(found: list[dict[str, Any]], other: str) -> float:
    """The same of all rows together."""
    return gain({name: sum(one[name] for one in found) for name in ("read", other, "guessing")}, other)


def measured(lm: Any, row: Any) -> dict[str, Any]:
    """A row's answer both ways, with their seconds and the calls that guessing takes."""
    import torch
    from lm_eval.api.instance import Instance

    from ropepp_eval.adapters.native.cache import StackView

    forward = lm.forward
    settings = {"until": [], "do_sample": False, "max_gen_toks": row.max_new_tokens}
    (job,) = lm.encoder.jobs([Instance("generate_until", {}, (row.prompt, settings), 0)])
    prompt, budget = job.prompt, job.budget
    with torch.inference_mode():
        view = StackView(forward.new_store(1, len(prompt) + budget + GUESSED + 1))
        began = time.perf_counter()
        hidden = forward.extend(view, prompt, keep=1)
        first = int(forward.head(hidden).argmax())
        read = time.perf_counter() - began
        began = time.perf_counter()
        plain = written(forward, view, first, budget, lm.end_ids)
        alone = time.perf_counter() - began
        view.length = len(prompt)
        began = time.perf_counter()
        guessed, calls = written_by_guessing(forward, view, prompt, first, budget, lm.end_ids)
        guessing = time.perf_counter() - began
    return {
        "read": read,
        "tokens": len(plain),
        "calls": calls,
        "alone": alone,
        "guessing": guessing,
        "same": plain == guessed,
    }


def written(forward: Any, view: Any, first: int, budget: int, end_ids: Any) -> list[int]:
    """The answer, a token a call."""
    answer = [first]
    while len(answer) < budget and answer[-1] not in end_ids:
        hidden = forward.extend(view, np.array(answer[-1:]), keep=1)
        answer.append(int(forward.head(hidden).argmax()))
    return answer


def written_by_guessing(
    forward: Any, view: Any, prompt: Any, first: int, budget: int, end_ids: Any
) -> tuple[list[int], int]:
    """The answer, as many tokens a call as were guessed rightly and one more; and the calls."""
    answer, calls = [first], 0
    while len(answer) < budget and answer[-1] not in end_ids:
        guess = guess_of(np.concatenate([prompt, np.array(answer)]))
        before = view.length
        hidden = forward.extend(view, np.concatenate([np.array(answer[-1:]), guess]), keep=len(guess) + 1)
        best = forward.head(hidden).argmax(-1).tolist()
        calls += 1
        right = 0
        while right < len(guess) and guess[right] == best[right]:
            right += 1
        for token in best[: right + 1]:
            if len(answer) < budget and answer[-1] not in end_ids:
                answer.append(token)
        view.length = before + right + 1
    return answer, calls


def guess_of(text: Any) -> Any:
    """What followed the last earlier place that ends like the text, by its last three tokens, two or one; nothing where there is none."""
    for size in range(LONGEST_MATCH, 0, -1):
        windows = np.lib.stride_tricks.sliding_window_view(text[:-1], size)
        places = np.flatnonzero((windows == text[-size:]).all(axis=1))
        if len(places):
            begin = places[-1] + size
            return text[begin : begin + GUESSED]
    return text[:0]


def seconds_of_a_step(lm: Any, length: int) -> float:
    """The median of a step of `ROWS` rows of nearly that length."""
    import torch

    from ropepp_eval.adapters.native.cache import RaggedView, StackView

    forward = lm.forward
    with torch.inference_mode():
        store = forward.new_store(ROWS, length + STEPS + 2)
        forward.extend(StackView(store), np.array([1]))
        view = RaggedView(store, [length - number for number in range(ROWS)], forward.device)
        newest, times = torch.ones(ROWS, dtype=torch.int64), []
        for _ in range(STEPS + 1):
            began = time.perf_counter()
            newest = forward.head(forward.step(newest, view)).argmax(-1)
            times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    raise SystemExit(main())
