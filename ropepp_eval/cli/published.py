"""`ropepp-eval published`: the paper's tables, and what in them does not add up."""

from __future__ import annotations

import argparse

HELP = "check the paper's published tables against their own cells"
EXAMPLE = "ropepp-eval published check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["check"], help="check: recompute every printed average from its printed cells")


def main(args: argparse.Namespace) -> int:
    """Prints what does not add up. That the paper has misprints is no error of ours, so the status is 0."""
    from ropepp_eval.reports.published import discrepancies, published_tables

    tables = published_tables()
    averages = sum(len(t.values) * sum(bool(c.mean_of) for c in t.columns) for t in tables.values())
    found = discrepancies()
    print(next(iter(tables.values())).source.rpartition(", Table")[0])
    print(f"{len(found)} of {averages} printed averages differ from the mean of their printed cells by more than 0.05:")
    for one in found:
        print(f"  {one}")
    return 0
