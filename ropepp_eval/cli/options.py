"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from ropepp_eval.reports.row_views import PromptOf


def path(text: str) -> str:
    """Type of every option and argument that may name a file or folder: `~` is the home folder, as after a blank in a shell."""
    return os.path.expanduser(text)


def add_position_arguments(parser: Any, default: Any = None) -> None:
    """The options by which a user says what the weights can't, for a parser or a group of one."""
    add = parser.add_argument
    add("--position", default=default, help="what weights can't say: nope, rope+pi8, rope:base=500000 (docs/positions.md)")
    add(
        "--position-module",
        action="append",
        default=[] if default is None else default,
        type=path,
        metavar="FILE",
        help="Python file that registers a position embedding",
    )


def load_position_modules(files: Iterable[str]) -> None:
    """Register the position embeddings of the files given by `--position-module`."""
    from ropepp_eval.positions import load_position_module

    for file in files:
        load_position_module(file)


def add_task_arguments(parser: Any, default: Any = None) -> None:
    """The option by which a user adds tasks, for a parser or a group of one."""
    parser.add_argument(
        "--task-folder",
        action="append",
        default=[] if default is None else default,
        type=path,
        metavar="DIR",
        help="folder with tasks of your own (docs/tasks.md); may be given again",
    )


def load_task_folders(folders: Iterable[str]) -> None:
    """Make the tasks of the folders given by `--task-folder` known."""
    from ropepp_eval.rows.catalogue import load_task_folder

    for folder in folders:
        load_task_folder(folder)


def add_prompt_arguments(parser: Any, by: str = "--prompts") -> None:
    """The options that prompts of stored rows are made again with, for a parser or a group of one.

    Args:
        by: the option that asks for prompts.
    """
    add = parser.add_argument
    if by == "--prompts":
        add("--prompts", action="store_true", help="with the prompts, made again; without it they stay: corpora have owners")
    add("--tokenizer", type=path, help=f"{by}: where the run's tokenizer lies now (default: where the run had it)")
    add("--data-dir", type=path, help=f"{by}: where the run's data folder lies now (default: where the run had it)")
    add_task_arguments(parser)


def prompts_asked(args: argparse.Namespace) -> PromptOf | None:
    """What makes the prompts of `--prompts` again; None where they were not asked for.

    Raises:
        UserError: it was said how, and they were not asked for.
    """
    from ropepp_eval.errors import UserError

    if not args.prompts:
        if args.tokenizer or args.data_dir:
            raise UserError("--tokenizer and --data-dir are for making prompts again; add --prompts, or leave them out")
        return None
    from ropepp_eval.runs.prompts import Prompts

    load_task_folders(args.task_folder)
    return Prompts(tokenizer=args.tokenizer, data_dir=args.data_dir).of_all
