"""`ropepp-eval rows`: which rows failed, which are wrong, what was answered; or one row whole."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import add_prompt_arguments, load_task_folders, path
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.inert import is_terminal, write_bytes
from ropepp_eval.lengths import parse_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropepp_eval.reports.cells import Cells
    from ropepp_eval.reports.row_filters import RowPair
    from ropepp_eval.reports.row_views import RowView
    from ropepp_eval.reports.table import Table

HELP = "list rows: which failed, which are wrong, what was answered; --show N prints one whole, with its prompt"
EXAMPLE = "ropepp-eval rows runs/first --task niah_single_2 --wrong"
FORMATS = ("text", "json", "csv", "parquet")
LINES = 40
"""Rows in a table of text unless --limit says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges")
    add("--task", metavar="NAMES", help="only of these tasks or benchmarks, with commas")
    add("--length", type=parse_lengths, default=[], metavar="LENGTHS", help="only at these lengths, with commas: 2k,4k")
    add("--checkpoint", metavar="NAME", help="only of this checkpoint, as `ropepp-eval table` calls it")
    add("--wrong", action="store_true", help="only rows that were answered and are not fully right")
    add("--failed", action="store_true", help="only rows that failed; with --wrong: either of the two")
    add("--finish", metavar="NAMES", help="only answers that ended so: stop, eos, length, scored")
    add("--depth", metavar="FROM-TO", help="only rows with an asked-for fact there: 40-60 (percent of the context)")
    add(
        "--differ", nargs=2, metavar=("A", "B"),
        help="only rows that these two checkpoints (as `ropepp-eval compare` takes them) score differently, both answers side by side",
    )  # fmt: skip
    add("--limit", type=int, metavar="N", help=f"at most so many rows (text: {LINES}; other formats: all)")
    add(
        "--show",
        type=int,
        metavar="N",
        help="one row whole: question, answer, score and its rule, tokens, the prompt's ends",
    )
    add("--metric", metavar="NAME", help="judge by this metric (default: each task's first)")
    add("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")
    add("--format", default="text", metavar="FORMAT", help="text (default), json, csv or parquet")
    add("--out", type=path, metavar="FILE", help="write there instead of printing")
    add_prompt_arguments(parser, by="--show")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.row_filters import RowFilter, differing_pairs
    from ropepp_eval.reports.row_views import row_views

    _check(args)
    cells = read_cells(*args.dirs, latest=args.latest)
    views = row_views(cells, args.metric)
    if args.show is not None and not args.differ:
        return _show(args, cells, views, [])
    wanted = RowFilter(
        tasks=_names(args.task), lengths=tuple(args.length), checkpoint=args.checkpoint, finish=_names(args.finish),
        depth=args.depth, wrong=args.wrong, failed=args.failed,
    )  # fmt: skip
    chosen = wanted.of(views, cells)
    if not args.differ:
        return _write(args, cells, chosen)
    pairs, common = differing_pairs(views, chosen, cells, *args.differ)
    if args.show is not None:
        return _show(args, cells, views, pairs)
    return _write_pairs(args, cells, pairs, common)


def _check(args: argparse.Namespace) -> None:
    if args.format not in FORMATS:
        raise unknown_name("format", args.format, FORMATS, "give one with --format")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit} is below 1; ask for at least one row, or leave it out")
    if args.format == "parquet" and not args.out and is_terminal(sys.stdout):
        raise UserError("parquet is nothing to read on a terminal; add --out FILE, such as --out rows.parquet")
    if args.show is not None and args.format not in ("text", "json"):
        raise UserError(f"--show prints one row as text or json, not as {args.format}; leave out one of the two")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _asked(args: argparse.Namespace) -> str:
    """The filters as the last line of a table says them."""
    lengths = ",".join(map(str, args.length))
    given = {"task": args.task, "length": lengths, "checkpoint": args.checkpoint, "finish": args.finish, "depth": args.depth}
    said = [f"--{name} {value}" for name, value in given.items() if value]
    said += [f"--{name}" for name in ("wrong", "failed") if getattr(args, name)]
    return f" with {' '.join(said)}" if said else ""


def _write(args: argparse.Namespace, cells: Cells, chosen: Sequence[RowView]) -> int:
    from ropepp_eval.reports.row_frame import FILE_FORMATS
    from ropepp_eval.reports.row_tables import rows_table
    from ropepp_eval.reports.text import output_width

    if args.format != "text":
        return _put(args, FILE_FORMATS[args.format](chosen[: args.limit]))
    table = rows_table(
        chosen, cells, width=None if args.out else output_width(), limit=args.limit or LINES, asked=_asked(args)
    )
    return _put_table(args, table)


def _write_pairs(args: argparse.Namespace, cells: Cells, pairs: Sequence[RowPair], common: int) -> int:
    from ropepp_eval.reports.row_frame import FILE_FORMATS
    from ropepp_eval.reports.row_tables import differing_table
    from ropepp_eval.reports.text import output_width

    if args.format != "text":
        both = [view for pair in pairs[: args.limit] for view in (pair.first, pair.second)]
        return _put(args, FILE_FORMATS[args.format](both))
    table = differing_table(
        pairs, cells, tuple(args.differ), common=common, width=None if args.out else output_width(), limit=args.limit or LINES,
        asked=_asked(args),
    )  # fmt: skip
    return _put_table(args, table)


def _put_table(args: argparse.Namespace, table: Table) -> int:
    from ropepp_eval.reports.formats import print_table, render

    if args.out:
        return _put(args, render(table, "text").encode())
    print_table(table, "text")
    return 0


def _put(args: argparse.Namespace, content: bytes) -> int:
    from ropepp_eval.files import write_atomically

    if args.out:
        write_atomically(Path(args.out), content)
    elif args.format == "parquet":
        write_bytes(sys.stdout, content)
    else:
        sys.stdout.write(content.decode())
    return 0


def _show(args: argparse.Namespace, cells: Cells, views: Sequence[RowView], pairs: Sequence[RowPair]) -> int:
    from ropepp_eval.reports.row_filters import row_numbered
    from ropepp_eval.runs.shown_row import shown_as_json, shown_as_text

    load_task_folders(args.task_folder)
    view = row_numbered(args.show, views, sum(len(cell.rows) for cell in cells.cells))
    pair = next((pair for pair in pairs if view in (pair.first, pair.second)), None)
    shown = [view] if pair is None else [pair.first, pair.second]
    made = shown_as_json if args.format == "json" else shown_as_text
    return _put(
        args, made(shown, cells, tokenizer=args.tokenizer, data_dir=args.data_dir).encode("utf-8", "backslashreplace")
    )
