"""`ropepp-eval compare`: the difference between two checkpoints, tested on the same rows."""

from __future__ import annotations

import argparse
import sys

from ropepp_eval.cli.options import path

HELP = "test the difference between two checkpoints on the rows that both answered"
EXAMPLE = "ropepp-eval compare ropepp_ec rope runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a checkpoint, as `ropepp-eval table` calls it")
    parser.add_argument("second", metavar="B", help="another checkpoint")
    parser.add_argument(
        "dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges"
    )
    parser.add_argument(
        "--format", default="text", metavar="FORMAT", help="text (default), markdown, csv, latex, json, html"
    )
    parser.add_argument("--metric", metavar="NAME", help="compare this metric (default: each task's first)")
    parser.add_argument("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.comparison import compare_table
    from ropepp_eval.reports.formats import check_format, render
    from ropepp_eval.reports.layouts import LayoutOptions

    check_format(args.format)
    cells = read_cells(*args.dirs, latest=args.latest)
    sys.stdout.write(render(compare_table(cells, args.first, args.second, LayoutOptions(metric=args.metric)), args.format))
    return 0
