"""`python -m tests.fuzz`: many cases, and a table of what they did."""

from __future__ import annotations

import argparse
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
    with ThreadPoolExecutor(args.workers) as pool:  # each thread waits for a process of its own
        parts = [names[place :: args.workers] for place in range(args.workers)]
        found = [verdict for part in pool.map(lambda part: _run(part, args.cases // len(names)), parts) for verdict in part]
    _print_table(found, time.monotonic() - begin)
    return any(verdict.wrong for verdict in found)


def _run(names: list[str], cases: int) -> list[Verdict]:
    found = list(verdicts((name, number) for name in names for number in range(-1, cases)))
    for verdict in found:
        if verdict.wrong:
            print(f"{verdict.name}: {verdict.wrong}", file=sys.stderr, flush=True)
    return found


def _print_table(found: list[Verdict], seconds: float) -> None:
    print(f"| format | cases | read (status 0) | refused (2) | wrong | slowest, s | largest, MiB |\n{'| --- ' * 7}|")
    for name in [*dict.fromkeys(verdict.target for verdict in found), "all"]:
        part = [verdict for verdict in found if verdict.number >= 0 and name in (verdict.target, "all")]
        if part:
            status = Counter(verdict.status for verdict in part)
            slowest, largest = max(v.seconds for v in part), max(v.peak_bytes for v in part) / 2**20
            wrong = sum(bool(verdict.wrong) for verdict in part)
            print(
                f"| {name} | {len(part):,} | {status[0] + status[1]:,} | {status[2]:,} | {wrong} | {slowest:.1f} | {largest:.0f} |"
            )
    print(f"\n{seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
