"""Does the interval of the effective context length hold the true one? Drawn scores at five lengths, by both rules, with fixed seeds.

Prints the table of docs/reports.md, then the bar.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import _common as common
import numpy as np

from ropepp_eval.reports.effective_length import Fall, Sample, below_other, below_threshold, held
from ropepp_eval.reports.paired_shares import PairedShares

ROWS = (10, 15, 30, 100, 500)
SEED = 20260201
LADDERS = {
    "steady fall": (0.98, 0.95, 0.9, 0.8, 0.6), "cliff": (0.95, 0.94, 0.93, 0.3, 0.05), "near the limit": (0.95, 0.88, 0.87, 0.86, 0.85),
    "no fall": (0.97, 0.97, 0.97, 0.97, 0.97), "fallen at once": (0.8, 0.8, 0.8, 0.69, 0.5), "dip": (0.93, 0.82, 0.93, 0.93, 0.93),
}  # fmt: skip
"""True scores at five lengths."""


def effective(quick: bool) -> list[common.Check]:
    """How often the interval of the effective length holds the true one, by both rules, lengths unpaired and paired."""
    print(
        "\n| true scores | rows | threshold | margin, unpaired | margin, paired | lengths in the interval, threshold and margin |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    draws = 200 if quick else 1000
    lowest = 1.0
    itself = Fall(0.0, 1.0, fallen=False)
    for (name, ladder), rows in ((one, rows) for one in LADDERS.items() for rows in (ROWS[:2] if quick else ROWS)):
        stream = np.random.default_rng([SEED, rows])
        truths = [
            next((i for i, share in enumerate(ladder) if share < limit), len(ladder)) for limit in (0.856, ladder[0] - 0.1)
        ]
        inside, spread = np.zeros(3), np.zeros(3)
        for _ in range(draws):
            hardness = stream.random(rows)
            paired = [0.5 * hardness + 0.5 * stream.random(rows) for _ in ladder]  # triangular on 0 to 1
            marks = [math.sqrt(share / 2) if share < 0.5 else 1 - math.sqrt((1 - share) / 2) for share in ladder]
            right = [one < mark for one, mark in zip(paired, marks, strict=True)]
            samples = [Sample(k / rows, rows) for k in stream.binomial(rows, ladder)]
            falls = [
                [below_threshold(sample, 0.856) for sample in samples],
                [itself, *(below_other(sample, samples[0], 0.1) for sample in samples[1:])],
                [itself, *(_paired_fall(one, right[0]) for one in right[1:])],
            ]
            for number, (found, truth) in enumerate(zip(falls, (truths[0], truths[1], truths[1]), strict=True)):
                _, fewest, most = held(found)
                inside[number] += fewest <= truth <= most
                spread[number] += most - fewest + 1
        lowest = min(lowest, float(inside.min()) / draws)
        lengths = " and ".join(f"{spread[i] / draws:.1f}" for i in (0, 1))
        print(f"| {name} | {rows} | {' | '.join(f'{100 * one / draws:.1f} %' for one in inside)} | {lengths} |", flush=True)
    noise = math.sqrt(0.05 * 0.95 / draws)
    return [common.Check("effective length: lowest coverage", lowest, 0.94 - noise, "at least", exact=True)]


@functools.cache
def _fall(rows: int, b: int, c: int) -> Any:
    found = PairedShares(rows, b, c)
    return Fall(found.greater(-0.1), found.less(-0.1), found.value < -0.1 - 1e-9)


def _paired_fall(one: Any, first: Any) -> Any:
    return _fall(len(one), int((one & ~first).sum()), int((first & ~one).sum()))


def main() -> int:
    given = common.parser(__doc__ or "").parse_args()
    return common.finish("effective_length", effective(given.quick), quick=given.quick)


if __name__ == "__main__":
    sys.exit(main())
