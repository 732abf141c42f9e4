"""The command line: one thin file a command, found by a static table so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from ropepp_eval.errors import Interrupted, Terminated, UserError
from ropepp_eval.inert import inert, inert_output

_LONGEST_REASON = 300

COMMANDS = {
    "run": "evaluate checkpoints on tasks at context lengths; resumable",
    "reproduce": "run what fills one of the paper's tables, and print ours beside it",
    "table": "print the comparison table of run folders",
    "compare": "test the difference between two checkpoints on the same rows",
    "rows": "list rows: which failed, which are wrong, what was answered",
    "share": "write results for inspect, every-eval-ever, lm-eval, Parquet or a model card",
    "status": "say how runs that go on elsewhere get on",
    "rescore": "score stored answers again where a scorer changed, without a model",
    "resolution": "say how many rows a difference needs, or which difference rows can show",
    "report": "write one HTML file of run folders: verdict, charts, comparisons, rows",
    "probe": "look into heads: scores by distance, where they look, noise, cost, extrapolation",
    "figures": "draw the paper's figures from probes",
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

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        option = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
        if option is not None:
            from ropepp_eval.runs.options import unknown_option

            known = [
                name for action in self._actions for name in action.option_strings or [str(action.metavar or action.dest)]
            ]
            raise unknown_option(f"{self.prog}: unknown option", option, known, f"`{self.prog} --help` lists them")
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed

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
    """Run one command, its output inert.

    Returns:
        The exit status: 0 done; 1 a check failed, or all rows of a run did; 2 the user's error; 3 a bug of ours; 4 undecided (a gate);
        128 + the signal's number where Ctrl-C (130), SIGTERM (143) or SIGHUP (129) ended it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a half character of an answer, or any letter where the locale is ASCII
            stream.reconfigure(errors="backslashreplace")
    # Threads of torch that wait by spinning took three times the processor and the time beside other work (2 cores, `make demo`'s cells).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if given[:1] == ["--debug"]:
        given = given[1:]
    with inert_output():
        return _run(given, debug)


def _run(given: list[str], debug: bool) -> int:
    try:
        with ending_signals() as arrived:
            status = _dispatch(given)
            sys.stdout.flush()  # a full disk behind `> file` is met here, not after the last handler
            return status
    except BrokenPipeError:  # `ropepp-eval table ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        status, line = verdict(error, arrived)
        print(line, file=sys.stderr)
        return status


def verdict(error: BaseException, arrived: Sequence[int] = ()) -> tuple[int, str]:
    """Exit status and the one line for what ended a command; `arrived` are the signals that did."""
    if isinstance(error, UserError):
        return 2, f"error: {inert(error)}"
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        number = signal.Signals(arrived[0] if arrived else signal.SIGINT)
        by = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        said = inert(error) or "what was finished is on disk; the same command goes on from there"
        return 128 + number, f"{by}: {said}"
    if isinstance(error, OSError) and error.errno is not None:
        return 2, f"error: {inert(os_error_line(error))}"
    said = inert(str(error).strip())[:_LONGEST_REASON]
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return 3, f"error: unexpected {reason}; this is a bug in ropepp-eval: {_traceback_place(error)}"


def _traceback_place(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ropepp-eval-", suffix=".traceback", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
    except OSError:
        return "run it again with --debug to see the traceback"
    return f"its traceback is in {inert(file.name)}"


@contextlib.contextmanager
def ending_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP end what runs inside as Ctrl-C does. Gives the list that takes the signals as they arrive.

    One that is ignored (SIGHUP under `nohup`) stays ignored. Worker processes that inherit this die of the signal as usual.
    """
    arrived: list[int] = []
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        arrived.append(number)
        raise Terminated(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
        before = {n: handler for n, handler in before.items() if handler is not signal.SIG_IGN and handler is not None}
    try:
        for number in before:
            signal.signal(number, end)
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def os_error_line(error: OSError) -> str:
    """A full disk, a read-only folder and their like, in one line with what to do."""
    go_on = "run the same command again: it goes on from the last finished row"
    advice = {
        errno.ENOSPC: f"free some space and {go_on}",
        errno.EDQUOT: f"free some of your quota and {go_on}",
        errno.EFBIG: f"a limit on the size of files (`ulimit -f`) was met; raise it and {go_on}",
        errno.EACCES: "choose a folder you may write to",
        errno.EPERM: "choose a folder you may write to",
        errno.EROFS: "the file system is read-only; choose another folder with --out",
        errno.ENAMETOOLONG: "give a shorter name",
        errno.EMFILE: "raise the number of open files (`ulimit -n`)",
    }.get(error.errno or 0, "see --debug for where it happened")
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; {advice}"
