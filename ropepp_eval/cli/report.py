"""`ropepp-eval report`: one HTML file that shows run folders, opened without a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import add_prompt_arguments, path, prompts_asked
from ropepp_eval.errors import UserError

if TYPE_CHECKING:
    pass

HELP = (
    "write one HTML file with verdict, charts, comparisons, rows and provenance of run folders; it opens without a network"
)
EXAMPLE = "ropepp-eval report runs/first --out report.html"
SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges"
    )
    parser.add_argument("--out", type=path, default="report.html", metavar="FILE", help="the page (default: report.html)")
    parser.add_argument(
        "--rows", default="10000", metavar="WHICH",
        help="rows in the page: all, wrong, or at most N, wrong and failed ones first (default: 10000)",
    )  # fmt: skip
    add_prompt_arguments(parser)
    parser.add_argument("--metric", metavar="NAME", help="show this metric (default: each task's first)")
    parser.add_argument("--partial", action="store_true", help="average over the members present, saying how many")
    parser.add_argument("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")
    parser.add_argument(
        "--live", action="store_true", help="write it again as rows arrive, until the runs end; the page loads itself again"
    )
    parser.add_argument(
        "--every", type=float, metavar="SECONDS", help=f"with --live: how often to look (default: {SECONDS:g})"
    )


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.files import write_atomically
    from ropepp_eval.reports.layouts import LayoutOptions
    from ropepp_eval.reports.page.document import page_of
    from ropepp_eval.reports.page.live import watch
    from ropepp_eval.reports.page.render import render_page
    from ropepp_eval.reports.page.rows import parse_limit

    rows, out = parse_limit(args.rows), Path(args.out)
    if args.every is not None and not args.live:
        raise UserError("--every belongs to --live; add it, or leave out --every")
    every = SECONDS if args.every is None else args.every
    if not 1 <= every <= 3600:
        raise UserError(f"--every {every:g} is not between 1 and 3600 seconds; give such as --every 10")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'report.html'}")
    options = LayoutOptions(metric=args.metric, partial=args.partial)
    prompt_of = prompts_asked(args)

    def write(reload_seconds: int | None) -> bool:
        page = page_of(args.dirs, rows=rows, latest=args.latest, options=options, prompt_of=prompt_of)
        write_atomically(out, render_page(page, reload_seconds=reload_seconds))
        return page.progress.going_on

    if args.live:
        print(f"{out} is written as rows arrive; Ctrl-C ends that", flush=True)
        watch(args.dirs, write, every)
    else:
        write(None)
    print(out)
    return 0
