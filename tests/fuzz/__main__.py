"""`python -m tests.fuzz`: many cases, and a table of what they did."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.judge import Verdict
from tests.fuzz.targets import TARGETS
from tests.fuzz.workers import verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="over all formats (default 20,000)")
    parser.add_argument("--only", help="formats, with commas")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--show", metavar="FORMAT/NUMBER", help="one case and all it said")
    args = parser.parse_args()
    if args.show:
        target, _, number = args.show.rpartition("/")
        (found,) = verdicts([(target, int(number))])
        print(f"{found.name}: status {found.status}, {found.seconds:.2f} s, {found.wrong or 'right'}\n{found.said}")
        return bool(found.wrong)
    names = args.only.split(",") if args.only else list(TARGETS)
    begin = time.monotonic()
    print(
        f"| format | cases | read (status 0) | refused (2) | wrong | slowest, s | largest, MiB |\n{'| --- ' * 7}|",
        flush=True,
    )
    with ThreadPoolExecutor(args.workers) as pool:  # each thread waits for a process of its own
        parts = [names[place :: args.workers] for place in range(args.workers)]
        found = [verdict for part in pool.map(lambda part: _run(part, args.cases // len(names)), parts) for verdict in part]
    print(_line("all", found))
    print(f"\n{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return any(verdict.wrong for verdict in found)


def _run(names: list[str], cases: int) -> list[Verdict]:
    """The verdicts of some formats; a line for each format as it is done, and one for each case that went wrong."""
    asked = ((name, number) for name in names for number in range(-1, cases))
    found: list[Verdict] = []
    for name, group in itertools.groupby(verdicts(asked), key=lambda verdict: verdict.target):
        part = []
        for verdict in group:
            part.append(verdict)
            if verdict.wrong:
                print(f"{verdict.name}: {verdict.wrong}", file=sys.stderr, flush=True)
        print(_line(name, part), flush=True)
        found += part
    return found


def _line(name: str, found: list[Verdict]) -> str:
    part = [verdict for verdict in found if verdict.number >= 0]
    status = Counter(verdict.status for verdict in part)
    slowest = max((verdict.seconds for verdict in part), default=0.0)
    largest = max((verdict.peak_bytes for verdict in part), default=0) / 2**20
    wrong = sum(bool(verdict.wrong) for verdict in found)
    return (
        f"| {name} | {len(part):,} | {status[0] + status[1]:,} | {status[2]:,} | {wrong} | {slowest:.1f} | {largest:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
