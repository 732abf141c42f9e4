"""`ropepp-eval lm-eval`: lm-eval's own command line, with our models and tasks registered first.

A task of ours may carry its length: `--tasks niah_single_1@4k,niah_single_1@8k` evaluates each as an lm-eval task of its own,
with its own standard error. `--task-folder DIR` adds tasks of one's own, `--position-module FILE` a position
embedding. Everything else is lm-eval's (`ropepp-eval lm-eval --help`).
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import tempfile
from pathlib import Path

from ropepp_eval.cli.options import add_task_arguments, load_position_modules, load_task_folders
from ropepp_eval.errors import UserError

HELP = "lm-eval's own command line with our model (ropepp) and our tasks registered; TASK@LENGTH sets a length, --task-folder DIR adds tasks."
EXAMPLE = "ropepp-eval lm-eval --model ropepp --model_args pretrained=models/demo/rope --tasks niah_single_1@512 --limit 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of lm-eval")


def main_with(arguments: list[str]) -> int:
    """Run lm-eval with these arguments of its own."""
    import ropepp_eval

    ropepp_eval.register()
    with tempfile.TemporaryDirectory(prefix="ropepp-eval-tasks-") as folder:
        sys.argv = ["ropepp-eval lm-eval", *rewritten(arguments, Path(folder))]
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    return 0


def main(args: argparse.Namespace) -> int:
    return main_with(args.arguments)


def _at_home(word: str) -> str:
    """`~` for the home folder at the begin of an argument, and of a value in `pretrained=~/mine` or in metadata as JSON."""
    return re.sub(r"""(^|[=,"'])~(?=/)""", lambda found: found[1] + os.path.expanduser("~"), word)


def rewritten(arguments: list[str], folder: Path) -> list[str]:
    """lm-eval's arguments with every task of ours, of `--task-folder` and of `--include_path` served from `folder`."""
    from ropepp_eval.rows.lm_eval_lengths import write_at_length, write_stubs, write_tasks

    ours = argparse.ArgumentParser(prog="ropepp-eval lm-eval", add_help=False, allow_abbrev=False, exit_on_error=False)
    add_task_arguments(ours)
    ours.add_argument("--position-module", action="append", default=[])
    try:
        known, result = ours.parse_known_args([_at_home(word) for word in arguments])
    except argparse.ArgumentError as error:
        raise UserError(f"ropepp-eval lm-eval: {error}") from error
    load_position_modules(known.position_module)
    load_task_folders(known.task_folder)
    if "--tasks" not in result and "-t" not in result:
        return result
    index = next(i for i, word in enumerate(result) if word in ("--tasks", "-t")) + 1
    named = [
        name
        for word in itertools.takewhile(lambda word: not word.startswith("-"), result[index:])
        for name in word.split(",")
    ]
    if "--include_path" in result or not all(
        "@" in name for name in named
    ):  # each of lm-eval's own of the same name is warned of
        write_tasks(folder)
    if "--include_path" in result:
        place = result.index("--include_path")
        write_stubs(Path(result[place + 1]), folder)
        del result[place : place + 2]
    index = next(i for i, word in enumerate(result) if word in ("--tasks", "-t")) + 1
    while index < len(result) and not result[index].startswith("-"):
        names = [write_at_length(name, folder) if "@" in name else name for name in result[index].split(",")]
        result[index] = ",".join(names)
        index += 1
    if "--device" not in result and any(word.startswith("ropepp") for word in result):
        result += ["--device", "auto"]  # lm-eval's own default is cuda:0, also where there is none
    return [*result, "--include_path", str(folder)]
