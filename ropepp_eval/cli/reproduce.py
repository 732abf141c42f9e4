"""`ropepp-eval reproduce`: the runs that fill one of the paper's tables, and the table beside the published one."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.cli.options import path
from ropepp_eval.cli.run import FORMATS, add_computing_arguments, add_showing_arguments, execute, forecast
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.inert import inert
from ropepp_eval.lengths import parse_lengths

if TYPE_CHECKING:
    from ropepp_eval.runs.reproduction import Reproduction

HELP = """Run what fills one of the paper's tables by its protocol, and print it beside the published one.
Each run is a file of options that `ropepp-eval run --config FILE` takes; the same command again goes on."""
EXAMPLE = "ropepp-eval reproduce table2 --size 376M --data-dir data --device cuda --out runs/table2"
DEVICE_MODEL = "h100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is asked")
    what.add_argument("table", metavar="TABLE", help="table1, table2 or table3")
    what.add_argument("--size", metavar="SIZE", help="the lines of one size alone: 376M or 776M (default: all)")
    add: Any = functools.partial(what.add_argument, default=argparse.SUPPRESS)
    add(
        "checkpoints", nargs="*", type=path, metavar="CHECKPOINT",
        help="these in place of the published ones: copies of them, or your own",
    )  # fmt: skip
    add("--lengths", type=parse_lengths, help="some of the table's lengths, with commas")
    add("--samples", type=int, metavar="N", help="rows of a cell at most (default: as many as the paper asked)")
    add("--seed", type=int, help="seed of the rows (default 42, as the paper's)")
    add("--data-dir", type=path, help="folder of real corpora (docs/data.md); without it generated text stands in, marked")
    add("--repeat-text", action="store_true", help="use a corpus again where it is too small for a length (default: refuse)")
    add("--tokenizer", type=path, help="folder or hub id (default: the checkpoint's own)")
    add_computing_arguments(parser)
    where: Any = parser.add_argument_group("where it goes, and what is shown")
    where.add_argument(
        "--out",
        type=path,
        default=argparse.SUPPRESS,
        help="folder for the files of options and the run folders (default: runs/TABLE)",
    )
    add_showing_arguments(where)


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.runs.options import options_of
    from ropepp_eval.runs.reproduction import reproduction

    given = options_of(vars(args))
    style = given.format or "text"
    if style not in FORMATS:
        raise unknown_name("format", style, FORMATS, "give one with --format")
    if "device_model" in args and "dry_run" not in args:
        raise UserError("--device-model says where --dry-run takes a run to be; add --dry-run, or leave it out")
    found = reproduction(args.table, given, size=args.size)
    if "dry_run" in args:
        return _shown(found, vars(args).get("device_model", DEVICE_MODEL))
    return _run(found, style)


def _shown(found: Reproduction, device_model: str) -> int:
    """Each run's options and what it will cost."""
    for one in found.runs:
        print(f"# {inert(one.file)}")
        print(inert_lines(one.text))
        forecast([one.options], device_model)
        print()
    if found.note:
        print(f"note: {found.note}")
    return 0


def inert_lines(text: str) -> str:
    """Lines as they are, without characters that act on a terminal."""
    return "\n".join(map(inert, text.splitlines()))


def _run(found: Reproduction, style: str) -> int:
    """Write the options of each run beside its folder, run it from there, and print the table of them all."""
    from ropepp_eval.files import write_atomically
    from ropepp_eval.runs.options import read_options

    status = 0
    folders = []
    for one in found.runs:
        write_atomically(one.file, one.text.encode())
        command = one.options.over(read_options(one.file))
        status = max(status, execute([command], "none"))
        config = command.config()
        folders.append(str(config.folder_in(Path(str(config.out)))))
    if style != "none":
        _print_table(found, folders, style)
    return status


def _print_table(found: Reproduction, folders: list[str], style: str) -> None:
    from ropepp_eval.cli import parser_of
    from ropepp_eval.cli.table import show
    from ropepp_eval.reports.cells import read_cells

    asked = [*folders, "--layout", found.table.name, "--compare", "published", "--format", style]
    show(parser_of("table").parse_args(asked), read_cells(*folders))
    if found.note and style == "text":
        print(f"note: {found.note}")
