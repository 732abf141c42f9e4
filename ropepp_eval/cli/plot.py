"""`ropepp-eval plot`: pictures of run folders as PNG and SVG."""

from __future__ import annotations

import argparse
from pathlib import Path

from ropepp_eval.cli.options import path
from ropepp_eval.errors import UserError, unknown_name

HELP = "draw score against length, depth maps, loss by position, cache size against score"
EXAMPLE = "ropepp-eval plot runs/first --kind lengths --out plots"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders; any mix merges"
    )
    parser.add_argument(
        "--kind", default="all", metavar="KIND", help="lengths, depth, cache, positions or all (default: all)"
    )
    parser.add_argument("--out", type=path, default="plots", metavar="FOLDER", help="where the pictures go (default: plots)")
    parser.add_argument("--format", default="png,svg", metavar="LIST", help="png, svg or both with a comma (default: both)")
    parser.add_argument("--metric", metavar="NAME", help="draw this metric (default: each task's first)")
    parser.add_argument("--partial", action="store_true", help="average over the members present")
    parser.add_argument("--latest", action="store_true", help="where runs disagree about a cell, take the younger run's")
    parser.add_argument(
        "--strict", action="store_true", help="refuse cells put together from runs of another dtype or engine"
    )


def main(args: argparse.Namespace) -> int:
    """Prints the files written. `--kind all` leaves out kinds that these runs can't show; a kind asked for must exist."""
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.layouts import LayoutOptions
    from ropepp_eval.reports.pictures import KINDS, draw
    from ropepp_eval.reports.style import IMAGE_FORMATS, save

    formats = tuple(dict.fromkeys(part.strip() for part in args.format.split(",") if part.strip()))
    for name in formats:
        if name not in IMAGE_FORMATS:
            raise unknown_name("picture format", name, IMAGE_FORMATS, "give one or both with --format")
    if args.kind not in (*KINDS, "all"):
        raise unknown_name("kind", args.kind, (*KINDS, "all"), "give one with --kind")
    cells = read_cells(*args.dirs, latest=args.latest, strict=args.strict)
    options = LayoutOptions(partial=args.partial, metric=args.metric)
    written: list[Path] = []
    for kind in KINDS if args.kind == "all" else [args.kind]:
        try:
            pictures = draw(cells, kind, options)
        except UserError:
            if args.kind != "all":
                raise
            continue
        for picture in pictures:
            written += save(picture.figure, Path(args.out), picture.name, formats)
    if not written:
        raise UserError("nothing to draw: no cell of these runs has a score; `ropepp-eval table` shows what is there")
    print("\n".join(map(str, written)))
    return 0
