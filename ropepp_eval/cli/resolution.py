"""`ropepp-eval resolution`: how many rows a difference needs, and how small a difference rows can show."""

from __future__ import annotations

import argparse
import json

from ropepp_eval.errors import UserError, unknown_name

HELP = "how many rows a cell a difference needs (--detect), or which difference rows can show (--rows)"
EXAMPLE = "ropepp-eval resolution --detect 5"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--detect", type=float, metavar="POINTS", help="a difference between two checkpoints: how many rows show it?")
    add("--rows", type=int, metavar="N", help="rows a cell: which difference do they show?")
    add("--tasks", type=int, default=13, metavar="N", help="tasks that are averaged (default 13, RULER's)")
    add("--lengths", type=int, default=5, metavar="N", help="lengths in the table: N x tasks cells are tested (default 5)")
    add("--power", type=float, default=80, metavar="PERCENT", help="chance of finding the difference (default 80)")
    add(
        "--disagreement", type=float, default=20, metavar="PERCENT",
        help="rows that one checkpoint gets right and the other wrong (default 20)",
    )  # fmt: skip
    add("--format", default="text", metavar="FORMAT", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    _check(args)
    from ropepp_eval.resolution import DesignOptions, Designs

    designs = Designs(DesignOptions(args.tasks, args.lengths, args.power / 100, args.disagreement / 100))
    if args.detect is not None:
        rows = designs.rows(args.detect / 100)
        said, found = designs.rows_in_words(args.detect, rows), {"detect_points": args.detect, "rows_a_cell": rows}
    else:
        points = {name: None if one is None else 100 * one for name, one in designs.differences(args.rows).items()}
        said, found = designs.differences_in_words(args.rows, points), {"rows_a_cell": args.rows, "points": points}
    print(json.dumps(found, indent=2) if args.format == "json" else "\n".join(said))
    return 0


def _check(args: argparse.Namespace) -> None:
    if (args.detect is None) == (args.rows is None):
        raise UserError("give either --detect POINTS (how many rows?) or --rows N (which difference?)")
    if args.format not in FORMATS:
        raise unknown_name("format", args.format, FORMATS, "give one with --format")
    for name in ("rows", "tasks", "lengths"):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= 1_000_000:
            raise UserError(f"--{name} {value} is not between 1 and 1,000,000")
    for name, low in (("power", 50), ("disagreement", 0)):
        value = getattr(args, name)
        if not low < value < 100:
            raise UserError(f"--{name} {value:g} is not between {low} and 100 percent")
