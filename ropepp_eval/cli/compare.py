"""`ropepp-eval compare`: the difference between two checkpoints, tested on the same rows."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ropepp_eval.errors import UserError

if TYPE_CHECKING:
    from ropepp_eval.reports.cells import Cells
    from ropepp_eval.reports.gate import Gate
    from ropepp_eval.reports.layouts import LayoutOptions

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
    parser.add_argument(
        "--strict", action="store_true", help="refuse cells put together from runs of another dtype or engine"
    )
    parser.add_argument("--brief", action="store_true", help="only the sentences, without the tables behind them")
    parser.add_argument(
        "--fail-below", type=float, metavar="POINTS",
        help="a gate: exit status 1 where A is worse than B by more than this (-2), 0 where shown not to be, 4 where the rows can't tell",
    )  # fmt: skip
    parser.add_argument(
        "--on", metavar="NAME", help="what the gate judges: benchmark, task, or either @length (default: all)"
    )
    parser.add_argument("--confidence", type=float, metavar="PERCENT", help="asked of the gate's verdict (default: 95)")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.comparison import compare, compare_table
    from ropepp_eval.reports.formats import check_format, print_table
    from ropepp_eval.reports.layouts import LayoutOptions

    check_format(args.format)
    _check_gate(args)
    cells, options = read_cells(*args.dirs, latest=args.latest, strict=args.strict), LayoutOptions(metric=args.metric)
    found = None if args.fail_below is None else _gate(cells, args, options)
    if found and args.format == "json":
        print(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return found.status
    table = compare_table(compare(cells, args.first, args.second, options))
    if args.brief:
        table = replace(table, sections=(), notes=())
    print_table(replace(table, lead=(*(found.lines() if found else ()), *table.lead)), args.format)
    return found.status if found else 0


def _check_gate(args: argparse.Namespace) -> None:
    if args.fail_below is None and (args.on or args.confidence is not None):
        raise UserError("--on and --confidence belong to the gate; add --fail-below POINTS, such as --fail-below -2")
    if args.fail_below is not None and args.format == "csv":
        raise UserError("the gate has no format csv; give another with --format, or leave out --fail-below")


def _gate(cells: Cells, args: argparse.Namespace, options: LayoutOptions) -> Gate:
    from ropepp_eval.reports.gate import gate

    confidence = 95.0 if args.confidence is None else args.confidence
    return gate(cells, args.first, args.second, options, fail_below=args.fail_below, on=args.on, confidence=confidence)
