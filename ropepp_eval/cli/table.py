"""`ropepp-eval table`: the comparison table of one or more run folders."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import path
from ropepp_eval.errors import UserError, unknown_name

if TYPE_CHECKING:
    from ropepp_eval.reports.cells import Cells
    from ropepp_eval.reports.effective_length import Limits
    from ropepp_eval.reports.table import Table

HELP = "print the comparison table of run folders: lines are checkpoints, columns context lengths"
EXAMPLE = "ropepp-eval table runs/first --ci --format markdown"
LAYOUTS = ("lengths", "tasks", "depth", "effective", "paper1", "paper2", "paper3")
COUNTS = ("rows", "failed", "cut", "fill")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges"
    )
    parser.add_argument("--layout", default="lengths", metavar="LAYOUT", help=f"{', '.join(LAYOUTS)} (default: lengths)")
    parser.add_argument(
        "--format", default="text", metavar="FORMAT", help="text (default), markdown, csv, latex, json, html"
    )
    parser.add_argument("--metric", metavar="NAME", help="show this metric (default: each task's first)")
    parser.add_argument("--ci", action="store_true", help="show 95 %% intervals")
    parser.add_argument("--counts", metavar="LIST", help=f"show after each value, with commas: {', '.join(COUNTS)}")
    parser.add_argument("--plain", action="store_true", help="don't mark best (bold, *) and second (underlined, +)")
    parser.add_argument("--significant", action="store_true", help="mark them only where they differ by a paired test")
    parser.add_argument("--partial", action="store_true", help="average over the members present, saying how many")
    parser.add_argument("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")
    parser.add_argument(
        "--strict", action="store_true", help="refuse cells put together from runs of another dtype or engine"
    )
    parser.add_argument("--compare", metavar="WITH", help="`published`: the paper's numbers beside ours (layouts paper1-3)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="layout effective: score that counts as held (default: RULER's 85.6)",
    )
    parser.add_argument(
        "--margin", type=float, metavar="POINTS", help="layout effective: how far below its shortest length's (default: 10)"
    )
    parser.add_argument(
        "--as", dest="said", action="append", default=[], metavar="CHECKPOINT=LABELS",
        help="what a checkpoint is in the paper's words, such as mine=376M/RoPE++_EC",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.formats import check_format

    _check(args)
    check_format(args.format)
    show(args, read_cells(*args.dirs, latest=args.latest, strict=args.strict))
    return 0


def show(args: argparse.Namespace, cells: Cells) -> None:
    """Print the table of these cells."""
    from ropepp_eval.reports.documents import with_documents
    from ropepp_eval.reports.effective_table import effective_sentences
    from ropepp_eval.reports.formats import print_table
    from ropepp_eval.reports.layouts import LayoutOptions
    from ropepp_eval.reports.notes import count_notes
    from ropepp_eval.reports.ranking import with_intervals, with_marks
    from ropepp_eval.reports.table import Show
    from ropepp_eval.reports.verdict import standings

    counts = frozenset(name.strip() for name in (args.counts or "").split(",") if name.strip())
    for name in sorted(counts - {*COUNTS}):
        raise unknown_name("count", name, COUNTS, "give them with --counts")
    table = with_documents(_laid_out(args, cells))
    table = replace(table, notes=(*table.notes, *count_notes(counts)))
    if args.ci:
        table = with_intervals(table)
    if not args.plain:
        table = with_marks(table, significant=args.significant)
    if args.layout in ("lengths", "tasks"):
        options = LayoutOptions(metric=args.metric)
        table = replace(table, notes=(*table.notes, *effective_sentences(cells, options), *standings(cells, options)))
    print_table(table, args.format, Show(intervals=args.ci, counts=counts))


def _check(args: argparse.Namespace) -> None:
    if args.plain and args.significant:
        raise UserError("--plain leaves out the marks that --significant decides on; give one of the two")
    if args.layout not in LAYOUTS:
        raise unknown_name("layout", args.layout, LAYOUTS, "give one with --layout")
    if args.compare not in (None, "published"):
        raise UserError(f"--compare {args.compare!r} is not known; it may be published")
    if args.layout != "effective" and (args.threshold is not None or args.margin is not None):
        raise UserError(f"layout {args.layout} has no threshold and no margin; they are of --layout effective")
    if (args.compare or args.said) and not args.layout.startswith("paper"):
        raise UserError(f"layout {args.layout} has no published counterpart; use --layout paper1, paper2 or paper3")


def _limits(args: argparse.Namespace) -> Limits:
    from ropepp_eval.reports.effective_length import Limits

    given = {"threshold": args.threshold, "margin": args.margin}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _laid_out(args: argparse.Namespace, cells: Cells) -> Table:
    from ropepp_eval.reports.depths import depth_table
    from ropepp_eval.reports.effective_table import effective_table
    from ropepp_eval.reports.layouts import LayoutOptions, lengths_table, tasks_table
    from ropepp_eval.reports.paper import paper_table

    options = LayoutOptions(partial=args.partial, metric=args.metric)
    if args.layout == "effective":
        return effective_table(cells, options, _limits(args))
    if args.layout.startswith("paper"):
        return paper_table(cells, options, args.layout, compare=args.compare == "published", said=args.said)
    return {"lengths": lengths_table, "tasks": tasks_table, "depth": depth_table}[args.layout](cells, options)
