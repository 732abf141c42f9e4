"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


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
