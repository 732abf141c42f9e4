"""`ropepp-eval status`: how runs get on that go on elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ropepp_eval.cli.options import path
from ropepp_eval.errors import Interrupted, UserError, unknown_name
from ropepp_eval.inert import is_terminal, raw_stream

if TYPE_CHECKING:
    from ropepp_eval.reports.run_status import RunStatus

HELP = "Say how runs get on that go on elsewhere: state, progress, rate, time left, failures. Reads their folders alone."
EXAMPLE = "ropepp-eval status runs --watch"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dirs", type=path, metavar="DIR", nargs="+", help="run folders, or folders of run folders")
    add("--watch", action="store_true", help="look again and again until all runs have ended")
    add("--every", type=float, default=5.0, metavar="SECONDS", help="--watch: how often (default 5)")
    add("--format", default="text", metavar="FORMAT", help="text (default) or json (with --watch an object a line)")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.reports.formats import print_table
    from ropepp_eval.reports.run_status import StatusReader, status_table

    if args.format not in FORMATS:
        raise unknown_name("format", args.format, FORMATS, "give one with --format")
    if not 0.1 <= args.every <= 86400:
        raise UserError(f"--every {args.every:g} is not between 0.1 and 86,400 seconds; give a number such as 10")
    reader = StatusReader()

    def read() -> list[RunStatus]:
        return reader.read(args.dirs)

    if args.watch:
        try:
            _watch(read, args)
        except KeyboardInterrupt:
            raise Interrupted("only the watching ended; the runs go on") from None
    elif args.format == "json":
        print(_json(read(), indent=1))
    else:
        print_table(status_table(read()), "text")
    return 0


def _json(runs: list[RunStatus], indent: int | None = None) -> str:
    return json.dumps({"format": 1, "runs": [run.as_json() for run in runs]}, ensure_ascii=False, indent=indent)


def _watch(read: Callable[[], list[RunStatus]], args: argparse.Namespace) -> None:
    """A table that is drawn anew on a terminal; elsewhere a line a run each time."""
    from ropepp_eval.reports.run_status import ENDED

    live = args.format == "text" and is_terminal(sys.stdout)
    with _drawn() if live else contextlib.nullcontext(_logged) as put:
        while True:
            runs = read()
            put(runs, args.format)
            if all(run.state in ENDED for run in runs):
                return
            time.sleep(args.every)


def _logged(runs: list[RunStatus], form: str) -> None:
    at = time.strftime("%H:%M:%S")
    print(_json(runs) if form == "json" else "\n".join(f"{at} {run.line()}" for run in runs), flush=True)


@contextlib.contextmanager
def _drawn() -> Iterator[Callable[[list[RunStatus], str], None]]:
    """What draws the table at one place of the terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from ropepp_eval.reports.run_status import status_table
    from ropepp_eval.reports.table import Show, inert_table
    from ropepp_eval.reports.text import output_width, text_lines

    with Live(console=Console(file=raw_stream(sys.stdout), highlight=False), auto_refresh=False) as live:

        def put(runs: list[RunStatus], form: str) -> None:
            lines = text_lines(inert_table(status_table(runs)), Show(width=output_width()))
            live.update(Text("\n").join(Text.assemble(*line) for line in lines), refresh=True)

        yield put
