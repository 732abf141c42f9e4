"""`ropepp-eval figures`: the paper's figures from a folder of probes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ropepp_eval.cli.options import path

HELP = "Draw the paper's figures 1, 3, 4, 5 and 6 from what `ropepp-eval probe` measured."
EXAMPLE = "ropepp-eval figures runs/probes --which 1,6 --out figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=path, metavar="DIR", help="folder that `ropepp-eval probe --out` wrote")
    parser.add_argument(
        "--which", default="1,3,4,5,6", metavar="LIST", help="figures of the paper with commas (default: 1,3,4,5,6)"
    )
    parser.add_argument("--out", type=path, metavar="FOLDER", help="where they go (default: DIR)")


def main(args: argparse.Namespace) -> int:
    """Prints the files written; all figures are drawn before the first is written."""
    from ropepp_eval.errors import UserError, unknown_name
    from ropepp_eval.probes.output import PAPER_FIGURES, paper_figures
    from ropepp_eval.reports.style import save

    folder = Path(args.dir)
    if not folder.is_dir():
        raise UserError(f"{folder} is not there; name a folder that `ropepp-eval probe --out` wrote")
    wanted = list(dict.fromkeys(part.strip() for part in args.which.split(",") if part.strip()))
    for which in wanted:
        if which not in PAPER_FIGURES:
            raise unknown_name(
                "figure", which, PAPER_FIGURES, "figures of the paper that can be drawn; give some with --which"
            )
    if not wanted:
        raise UserError("no figure was named; give some with --which, such as --which 1,6")
    drawn = {name: figure for which in wanted for name, figure in paper_figures(folder, which).items()}
    written = [file for name, figure in drawn.items() for file in save(figure, Path(args.out or folder), name)]
    print("\n".join(map(str, written)))
    return 0
