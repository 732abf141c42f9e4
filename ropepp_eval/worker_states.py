"""`workers.json` in a run folder: what each worker of a run on a cluster does now. It is there while the run goes on, written anew every
few seconds by the run, and read by whoever watches it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_json
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Outside, read_json

NAME = "workers.json"


class WorkerState(Outside):
    """One worker."""

    name: str
    """Its number and host: `worker 3 on node7`."""
    doing: str
    """`starting`, `idle`, `loading rope`, `rope, vt at 4k, 3 of 10 rows`."""
    rows: Annotated[int, Field(ge=0)] = 0
    """Answered by it so far."""
    rows_a_minute: Annotated[float, Field(ge=0)] | None = None
    """Since it began; None before its first row."""


class WorkerStates(Outside):
    """All workers of a run."""

    workers: Items[WorkerState] = ()
    dashboard: str = ""
    """Address of Ray's own page; empty where there is none."""


def write_states(folder: Path, states: Sequence[WorkerState], dashboard: str = "") -> None:
    """Write them, where that can be written: a full disk ends the run at the next row, not here."""
    with contextlib.suppress(OSError):
        content = {"workers": [state.model_dump() for state in states], "dashboard": dashboard}
        write_json(folder / NAME, content)


def read_states(folder: Path) -> WorkerStates:
    """What was written last; no workers where there is no such file or it can't be read."""
    path = folder / NAME
    if not path.is_file():
        return WorkerStates()
    try:
        return read_json(path, WorkerStates)
    except (UserError, OSError):
        return WorkerStates()


def remove_states(folder: Path) -> None:
    """The run has ended."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def state_line(state: WorkerState) -> str:
    """For people, in one line."""
    rate = f", {state.rows_a_minute:.3g} rows a minute" if state.rows_a_minute is not None else ""
    return inert(f"{state.name}: {state.doing}{rate}")
