"""Errors that a user can act on: one line that names the thing, its value, what is allowed and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave can't be used. The command line prints the message alone and exits with status 2."""


class LengthTooShort(UserError):
    """A context length that does not hold the smallest row of a task."""


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP ended the work. What was finished is on disk; the command line exits with 128 + the signal's number."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived: it ends a command exactly as Ctrl-C does."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


def unknown_name(kind: str, name: str, known: Iterable[str], next_step: str) -> UserError:
    """An error for a name that is not in `known`, with the nearest known names first.

    >>> unknown_name("task", "niah_singel_1", ["niah_single_1", "vt"], "`ropepp-eval tasks` lists them").args[0]
    "unknown task 'niah_singel_1'; did you mean niah_single_1? `ropepp-eval tasks` lists them"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'};"
    return UserError(f"unknown {kind} {name!r}; {hint} {next_step}")
