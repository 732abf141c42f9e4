"""`ropepp-eval table`: the comparison table of one or more run folders."""

from __future__ import annotations

import argparse
import sys

HELP = "print the comparison table of run folders: lines are checkpoints, columns context lengths"
EXAMPLE = "ropepp-eval table runs/first --format markdown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dirs", metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges")
    parser.add_argument(
        "--format", default="text", metavar="FORMAT", help="text (default), markdown, csv, latex, json, html"
    )
    parser.add_argument("--metric", metavar="NAME", help="show this metric (default: each task's first)")
    parser.add_argument("--partial", action="store_true", help="average over the members present, saying how many")
    parser.add_argument("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.formats import render
    from ropepp_eval.reports.layouts import LayoutOptions, lengths_table

    cells = read_cells(*args.dirs, latest=args.latest)
    table = lengths_table(cells, LayoutOptions(partial=args.partial, metric=args.metric))
    sys.stdout.write(render(table, args.format))
    return 0
