"""Options that several commands share."""

from __future__ import annotations

import argparse


def add_position_arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which a user says what the weights can't."""
    add = parser.add_argument
    add("--position", help="what weights can't say: nope, rope+pi8, rope:base=500000 (docs/positions.md)")
    add(
        "--position-module",
        action="append",
        default=[],
        metavar="FILE",
        help="Python file that registers a position embedding",
    )


def load_position_modules(files: list[str]) -> None:
    """Register the position embeddings of the files given by `--position-module`."""
    from ropepp_eval.positions import load_position_module

    for file in files:
        load_position_module(file)
