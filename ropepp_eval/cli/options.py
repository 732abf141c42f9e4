"""Options that several commands share."""

from __future__ import annotations

import argparse
import os


def path(text: str) -> str:
    """Type of every option and argument that may name a file or folder: `~` is the home folder, as after a blank in a shell."""
    return os.path.expanduser(text)


def add_position_arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which a user says what the weights can't."""
    add = parser.add_argument
    add("--position", help="what weights can't say: nope, rope+pi8, rope:base=500000 (docs/positions.md)")
    add(
        "--position-module",
        action="append",
        default=[],
        type=path,
        metavar="FILE",
        help="Python file that registers a position embedding",
    )


def load_position_modules(files: list[str]) -> None:
    """Register the position embeddings of the files given by `--position-module`."""
    from ropepp_eval.positions import load_position_module

    for file in files:
        load_position_module(file)
