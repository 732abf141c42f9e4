"""`ropepp-eval rescore`: scores of a run made again from its stored answers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import add_task_arguments, load_task_folders, path
from ropepp_eval.errors import unknown_name

if TYPE_CHECKING:
    from ropepp_eval.reports.table import Table
    from ropepp_eval.runs.rescore import Rescored

HELP = "Score the stored answers of a run again where a scorer changed, without a model, and say what changed."
EXAMPLE = "ropepp-eval rescore runs/first --dry-run"
FORMATS = ("text", "markdown", "csv", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dir", type=path, metavar="DIR", help="run folder")
    add("--task", metavar="NAMES", help="only rows of these tasks or benchmarks, with commas")
    add("--all", action="store_true", help="also rows that the scorer of today has scored")
    add("--dry-run", action="store_true", help="say what would change and write nothing")
    add("--tokenizer", type=path, help="where the run's tokenizer lies now, if a scorer asks for what only the prompt tells")
    add("--data-dir", type=path, help="where the run's data folder lies now, for the same case")
    add_task_arguments(parser)
    add("--format", default="text", metavar="FORMAT", help="text (default), markdown, csv or json")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.formats import print_table
    from ropepp_eval.runs.rescore import rescore

    if args.format not in FORMATS:
        raise unknown_name("format", args.format, FORMATS, "give one with --format")
    load_task_folders(args.task_folder)
    found = rescore(
        Path(args.dir),
        tasks=[name.strip() for name in (args.task or "").split(",") if name.strip()],
        everything=args.all,
        tokenizer=args.tokenizer,
        data_dir=args.data_dir,
        dry_run=args.dry_run,
    )
    if args.format == "json":
        cells = [cell.as_json() for cell in found.cells if cell.rows > cell.current]
        print(json.dumps({"format": 1, "written": found.written, "cells": cells}, ensure_ascii=False, indent=1))
    else:
        print_table(_table(found, args), args.format)
    return 0


def _table(found: Rescored, args: argparse.Namespace) -> Table:
    """A line for each cell with rows that were scored again, and what that comes to."""
    from ropepp_eval.lengths import format_length
    from ropepp_eval.reports.table import Entry, Line, Section, Table
    from ropepp_eval.words import counted

    lines = []
    for cell in found.cells:
        if cell.rows == cell.current:
            continue
        decimals = 1 if cell.scale == 100 else 2
        means = [Entry(None if mean is None else cell.scale * mean, decimals) for mean in cell.means]
        counts = [Entry(float(number), 0) for number in (cell.rows - cell.current, cell.changed)]
        labels = (cell.checkpoint, cell.task, format_length(cell.length_tokens), cell.metric)
        lines.append(Line(labels, (*counts, *means), ranked=False))
    again = sum(cell.rows - cell.current for cell in found.cells)
    changed = sum(cell.changed for cell in found.cells)
    current = sum(cell.current for cell in found.cells)
    notes = [f"{counted(again, 'row')} scored again: {changed:,} changed; {current:,} left as they are"]
    notes += ["nothing was written (--dry-run)"] if args.dry_run and again else []
    columns = ("rows", "changed", "before", "after")
    title = f"{args.dir}: scores made again from the stored answers"
    section = Section(title, {}, ("checkpoint", "task", "length", "metric"), columns, tuple(lines), (None,) * len(columns))
    return Table((section,), tuple(notes)) if lines else Table((), lead=tuple(notes))
