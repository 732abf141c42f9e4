"""`ropepp-eval share`: results in the forms that other tools open."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import add_prompt_arguments, path, prompts_asked
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.inert import inert

if TYPE_CHECKING:
    from ropepp_eval.reports.cells import Cells
    from ropepp_eval.reports.share.contents import Shared

HELP = "write results in a form that other tools open: inspect, every-eval-ever, lm-eval, parquet; or print a model card"
EXAMPLE = "ropepp-eval share runs/first --to inspect --out shared/inspect"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges")
    add("--to", required=True, metavar="FORM", help="inspect, every-eval-ever, lm-eval, parquet, or card")
    add(
        "--out",
        type=path,
        metavar="PATH",
        help="a new folder, or one that an earlier share wrote; card: a new file (default: print)",
    )
    add_prompt_arguments(parser)
    add("--checkpoint", metavar="NAME", help="only this checkpoint, as `ropepp-eval table` calls it")
    add("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.comparison import chosen_checkpoint
    from ropepp_eval.reports.share.contents import of_checkpoint, shared_of
    from ropepp_eval.reports.share.forms import CARD

    _check(args)
    prompt_of = prompts_asked(args)
    cells = read_cells(*args.dirs, latest=args.latest)
    if args.checkpoint is not None:
        cells = of_checkpoint(cells, chosen_checkpoint(cells, args.checkpoint))
    shared = shared_of(cells, prompt_of)
    return _put_card(args, shared) if args.to == CARD else _put_folder(args, shared, cells)


def _check(args: argparse.Namespace) -> None:
    from ropepp_eval.reports.share.forms import CARD, FORMS, NAMES

    if args.to not in NAMES:
        raise unknown_name("form", args.to, NAMES, "give one with --to")
    if args.to == CARD and args.prompts:
        raise UserError("a model card holds no prompts; leave out --prompts")
    if args.to != CARD and not args.out:
        raise UserError(f"--to {args.to} writes a folder; name a new one with --out, such as --out shared/{args.to}")
    if args.to != CARD:
        FORMS[args.to].check()


def _put_card(args: argparse.Namespace, shared: Shared) -> int:
    from ropepp_eval.files import write_atomically
    from ropepp_eval.reports.share.model_card import card_text

    text = card_text(shared)
    if args.out and Path(args.out).exists():
        raise UserError(f"--out {args.out} is there already, and a card may have been written on by hand; name a new file")
    if args.out:
        write_atomically(Path(args.out), text.encode())
    else:
        sys.stdout.write(text)
    return 0


def _put_folder(args: argparse.Namespace, shared: Shared, cells: Cells) -> int:
    from ropepp_eval.reports.naming import counted
    from ropepp_eval.reports.share.folders import files_of, shared_folder
    from ropepp_eval.reports.share.forms import FORMS

    form, out = FORMS[args.to], Path(args.out)
    with shared_folder(out, args.to, args.dirs) as folder:
        form.write(shared, folder)
    failed = sum(cell.failed for cell in cells.cells)
    rows = counted(len(shared.views), "row") + (f", {failed} of them failed" if failed else "")
    print(f"{out}: {counted(len(cells.cells), 'cell')}, {rows}, in {counted(len(files_of(out)), 'file')}")
    for damage in cells.damage:
        print(f"  left out: {inert(damage)}")
    print(f"  open it: {form.opened_by.format(out=shlex.quote(str(out)))}")
    return 0
