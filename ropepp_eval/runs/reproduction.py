"""The runs that fill a published table: which checkpoints, tasks, lengths, rows and protocol stand behind its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.lengths import format_length, parse_length
from ropepp_eval.reports.published import (
    PublishedTable,
    published_checkpoints,
    published_names,
    published_runs,
    published_table,
)
from ropepp_eval.runs.options import PLACE, RunOptions

if TYPE_CHECKING:
    from ropepp_eval.checkpoints.cards import Card

TABLES = {"table1": "paper1", "table2": "paper2", "table3": "paper3"}
"""The layout of each table."""
WHOLE = 20_000
"""Rows that no data set of the tables has, so that all of it is asked."""
_NOT_OF_THE_PLAN = (*PLACE, "shard", "format", "quiet", "verbose", "offline", "retry_failed")


@dataclass(frozen=True)
class PlannedRun:
    """One of the runs that fill a table; its options are those of `ropepp-eval run --config FILE`."""

    file: Path
    options: RunOptions

    @property
    def text(self) -> str:
        """The file: what is asked, and not where or how it is computed."""
        given = self.options.model_dump(exclude_none=True, exclude={*_NOT_OF_THE_PLAN})
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return yaml.safe_dump(listed, sort_keys=False, default_flow_style=None, width=100)


@dataclass(frozen=True)
class Reproduction:
    """All runs of a table."""

    table: PublishedTable
    runs: tuple[PlannedRun, ...]
    note: str = ""
    """What keeps the checkpoints from being the table's own."""


def reproduction(name: str, given: RunOptions, *, size: str | None = None) -> Reproduction:
    """The plan that fills a published table.

    Args:
        name: `table1`, `table2` or `table3`.
        given: what the user says beyond the table: other checkpoints than the published ones; `lengths`, some of the table's; `samples`;
            and how it is computed. `out` is the folder that gets a run folder and a file of options for each run.
        size: the lines of one size alone, such as `376M`.

    Raises:
        UserError: there is no such table, or it has no line of that size, or no cell of a length; or an option can't be.
    """
    if name not in TABLES:
        raise unknown_name("table", name, TABLES, "the paper's tables are these")
    table = published_table(TABLES[name])
    out = Path(given.out or f"runs/{name}" + (f"-{size}" if size else ""))
    if (out / "run.json").is_file():
        raise UserError(f"output folder {out} is one run's; name a folder for all runs of {name} with --out")
    wanted = None if given.lengths is None else {parse_length(one) for one in _lengths_of(given)}
    runs = published_runs(table.name)
    _check_lengths(name, wanted, {length for run in runs for length in run.lengths})
    own = given.checkpoints
    if own and size:
        raise UserError(
            f"--size {size} chooses among the published checkpoints, and checkpoints were named; give one of the two"
        )
    cards = [] if own else _cards(name, table, size)
    scalings = [None] if own or "scaling" not in table.label_columns else _scalings(table)
    planned = []
    for scaling in scalings:
        for run in runs:
            lengths = [length for length in run.lengths if wanted is None or length in wanted]
            if lengths:
                file = out / f"{run.name}{'' if scaling is None else f'-{scaling}'}.yaml"
                ours = RunOptions(
                    checkpoints=own or tuple(card.name for card in cards),
                    tasks=run.tasks,
                    lengths=tuple(map(format_length, lengths)),
                    samples=given.samples if given.samples is not None else run.rows or WHOLE,
                    protocol="paper",
                    position=None if scaling is None else f"+{scaling}",
                    allow_beyond_trained_length=True,
                    out=str(file.with_suffix("")),
                )
                planned.append(PlannedRun(file, ours.over(given)))
    for one in planned:
        one.options.config()  # judged before anything is written
    note = "" if own else str(published_checkpoints(table.name).get("note", ""))
    return Reproduction(table, tuple(planned), note)


def _lengths_of(given: RunOptions) -> Sequence[str | int]:
    lengths = given.lengths
    return lengths.split(",") if isinstance(lengths, str) else [lengths] if isinstance(lengths, int) else list(lengths or ())


def _check_lengths(name: str, wanted: set[int] | None, known: set[int]) -> None:
    for length in sorted((wanted or set()) - known):
        there = ", ".join(map(format_length, sorted(known)))
        raise UserError(f"length {format_length(length)}: {name} has no cell of it; it has {there}")


def _cards(name: str, table: PublishedTable, size: str | None) -> list[Card]:
    """The cards behind the table's lines, in their order.

    Raises:
        UserError: the table has no line of that size.
    """
    from ropepp_eval.checkpoints.cards import list_cards

    sizes = list(dict.fromkeys(dict(zip(table.label_columns, labels, strict=True))["size"] for labels in table.values))
    if size is not None and size not in sizes:
        raise unknown_name("size", size, sizes, f"{name} has lines of these")
    fill = {"table": name, **published_checkpoints(table.name).get("fill", {})}
    cards: dict[str, Card] = {}
    for labels in table.values:
        line = {key: label for key, label in zip(table.label_columns, labels, strict=True) if key != "scaling"}
        if size in (None, line["size"]):
            wanted = {**line, **fill}.items()
            cards |= {card.name: card for card in list_cards() if any(wanted <= row.items() for row in card.published)}
    return list(cards.values())


def _scalings(table: PublishedTable) -> list[str]:
    """Our names of the table's scalings, in its order."""
    place = table.label_columns.index("scaling")
    ours = {theirs: name for name, theirs in published_names().scalings.items()}
    return [ours[theirs] for theirs in dict.fromkeys(labels[place] for labels in table.values)]
