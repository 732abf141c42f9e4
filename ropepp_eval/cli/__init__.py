"""The command line: one thin file a command, found by a static table so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from ropepp_eval.errors import Interrupted, UserError
from ropepp_eval.inert import inert, inert_output

COMMANDS = {
    "run": "evaluate checkpoints on tasks at context lengths; resumable",
    "table": "print the comparison table of run folders",
    "compare": "test the difference between two checkpoints on the same rows",
    "resolution": "say how many rows a difference needs, or which difference rows can show",
    "plot": "draw score against length, depth maps, loss by position",
    "inspect": "say which position embedding a checkpoint has, and by which evidence",
    "models": "list the cards of published checkpoints",
    "export": "write a checkpoint as a self-describing folder",
    "tasks": "list tasks, or show one row's exact prompt",
    "data": "prepare and check the data folder",
    "published": "check the paper's published tables against their own cells",
    "verify-backend": "compare vLLM with the native adapter on one checkpoint",
    "train-demo": "train the tiny demo models, or check one against its card",
    "lm-eval": "lm-eval's own command line with our model and tasks registered",
}


def _module_name(command: str) -> str:
    return f"ropepp_eval.cli.{command.replace('-', '_')}"


def available_commands() -> dict[str, str]:
    """Commands with their one-line help, in the order people need them."""
    return dict(COMMANDS)


class _Parser(argparse.ArgumentParser):
    """Argument errors are one line and status 2, like every other error of the user's."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{self.prog}: {message}; `{self.prog} --help` shows what is allowed")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ropepp-eval COMMAND [options]",
            "",
            "Evaluate RoPE++ and baseline checkpoints from 2k to 64k tokens of context.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  -h, --help   show this, or a command's own help",
            "  --version    show the version",
            "  --debug      show the traceback of an error",
            "",
            "example:",
            "  ropepp-eval run models/demo/rope --tasks niah_single_1 --lengths 256,512 --samples 5 --out runs/first",
        ]
    )


def parser_of(command: str) -> argparse.ArgumentParser:
    """The argument parser of one command."""
    module = importlib.import_module(_module_name(command))
    parser = _Parser(
        prog=f"ropepp-eval {command}",
        description=module.HELP,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from ropepp_eval import __version__

        print(f"ropepp-eval {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        from ropepp_eval.errors import unknown_name

        raise unknown_name("command", command, COMMANDS, "`ropepp-eval --help` lists them")
    module = importlib.import_module(_module_name(command))
    if command == "lm-eval":  # its arguments are lm-eval's, not ours
        return int(module.main_with(rest))
    parsed = parser_of(command).parse_args(rest)
    return int(module.main(parsed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, its output inert. Returns the exit status: 0 done, 1 a check failed, 2 the user's error, 4 undecided (a
    gate), 130 Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if given[:1] == ["--debug"]:
        given = given[1:]
    with inert_output():
        return _run(given, debug)


def _run(given: list[str], debug: bool) -> int:
    try:
        return _dispatch(given)
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {inert(error)}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted) as error:
        if debug:
            traceback.print_exc()
        said = str(error) or "what was finished is on disk; the same command goes on from there"
        print(f"\ninterrupted: {inert(said)}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ropepp-eval table ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {inert(os_error_line(error))}", file=sys.stderr)
        return 2


def os_error_line(error: OSError) -> str:
    """A full disk, a read-only folder and their like, in one line with what to do."""
    import errno

    advice = {
        errno.ENOSPC: "free some space and run the same command again: it goes on from the last finished row",
        errno.EDQUOT: "free some of your quota and run the same command again: it goes on from the last finished row",
        errno.EACCES: "choose a folder you may write to",
        errno.EROFS: "the file system is read-only; choose another folder with --out",
    }.get(error.errno or 0, "see --debug for where it happened")
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; {advice}"
