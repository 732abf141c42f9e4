"""The paper's printed tables (arXiv 2512.07525, Tables 1-3), and whether they follow from their own cells."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.paths import resource_dir

PRINTED_STEP = Decimal("0.1")
"""Every number is printed with one decimal, so each is known to half of this."""


@dataclass(frozen=True)
class Member:
    """One summand of a column: the mean of some tasks. Where a harness or a protocol has other tasks for it, the first that were run count."""

    alternatives: tuple[tuple[str, ...], ...]
    """Each the tasks of one mean."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """All that may count."""
        return tuple(task for tasks in self.alternatives for task in tasks)


@dataclass(frozen=True)
class Column:
    """One column of a published table and the cells that stand behind it."""

    printed: str
    """Its name in the CSV file."""
    title: str
    members: tuple[Member, ...] = ()
    """Their mean is the column."""
    length_tokens: int | None = None
    """None: the one length at which the tasks were run."""
    mean_of: tuple[str, ...] = ()
    """For averages: `printed` names of the members."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that may count in it."""
        return tuple(task for member in self.members for task in member.tasks)

    @property
    def first_tasks(self) -> tuple[str, ...]:
        """The tasks that count before all that may stand for them."""
        return tuple(task for member in self.members for task in member.alternatives[0])

    @property
    def higher_is_better(self) -> bool:
        return not self.printed.endswith("_ppl")


@dataclass(frozen=True)
class PublishedTable:
    """One table as printed. Values keep their printed digits."""

    name: str
    """`paper1`, `paper2` or `paper3`."""
    title: str
    source: str
    label_columns: tuple[str, ...]
    columns: tuple[Column, ...]
    values: Mapping[tuple[str, ...], Mapping[str, Decimal]]
    """By labels, such as ("376M", "long", "RoPE"), then by printed column name."""

    def recomputed(self, labels: tuple[str, ...], column: Column) -> Decimal:
        """The printed value of a cell, or what an average's printed members give."""
        printed = self.values[labels]
        if not column.mean_of:
            return printed[column.printed]
        return sum((printed[name] for name in column.mean_of), Decimal(0)) / len(column.mean_of)


@dataclass(frozen=True)
class Discrepancy:
    """An average that does not follow from the cells beside it."""

    table: str
    labels: tuple[str, ...]
    column: str
    printed: Decimal
    recomputed: Decimal

    @property
    def rounding_explains_it(self) -> bool:
        """True where unrounded cells could give the printed average: each cell and the average may be off by half a step."""
        return abs(self.printed - self.recomputed) < PRINTED_STEP

    def __str__(self) -> str:
        reason = "rounding of the cells can explain it" if self.rounding_explains_it else "no rounding explains it"
        where = f"{self.table}, {' '.join(self.labels)}, {self.column}"
        return f"{where}: printed {self.printed}, its cells give {self.recomputed:.3f}; {reason}"


@dataclass(frozen=True)
class PublishedRun:
    """Cells of a published table that are asked together."""

    name: str
    tasks: tuple[str, ...]
    """Of several that may stand for one, the first: the one that knows the paper's protocol."""
    lengths: tuple[int, ...]
    """In tokens, rising."""
    rows: int | None
    """Of a cell, in the paper's own run; None: the whole data set, whose questions are the same in every run."""


@functools.lru_cache(maxsize=1)
def _layouts() -> dict[str, Any]:
    import yaml

    path = resource_dir("results") / "published" / "layouts.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


@functools.lru_cache(maxsize=1)
def published_tables() -> dict[str, PublishedTable]:
    """Tables 1-3 by layout name: `paper1`, `paper2`, `paper3`."""
    content = _layouts()
    return {name: _table(name, content[name], content["task_lists"]) for name in ("paper1", "paper2", "paper3")}


def published_table(name: str) -> PublishedTable:
    """One published table.

    Raises:
        UserError: there is none of this name.
    """
    tables = published_tables()
    if name not in tables:
        raise unknown_name("published table", name, tables, "the paper's tables are 1 to 3")
    return tables[name]


@dataclass(frozen=True)
class PublishedNames:
    """The paper's words for what our runs record."""

    sizes: Mapping[str, int]
    """Published size names and their parameters."""
    methods: Mapping[str, str]
    """By position embedding."""
    scalings: Mapping[str, str]
    """By our name of a position scaling."""
    metrics: Mapping[str, str]
    """By task: the metric that stands for the table's, where rows have it and it is not the task's first."""


@functools.lru_cache(maxsize=1)
def published_names() -> PublishedNames:
    """Sizes, methods, scalings and metrics as the paper calls them."""
    content = _layouts()
    return PublishedNames(content["sizes"], content["methods"], content["scalings"], content["metrics"])


def _table(name: str, layout: Mapping[str, Any], task_lists: Mapping[str, list[Any]]) -> PublishedTable:
    path = resource_dir("results") / "published" / layout["file"]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"published table {path.name} can't be read ({error.strerror}); reinstall the package") from error
    labels = tuple(layout["labels"])
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    values = {
        tuple(row[label] for label in labels): {key: Decimal(text) for key, text in row.items() if key not in labels}
        for row in rows
    }
    columns = tuple(_column(entry, task_lists) for entry in layout["columns"])
    return PublishedTable(name, layout["title"], lines[0].removeprefix("# Source: "), labels, columns, values)


def _column(entry: Mapping[str, Any], task_lists: Mapping[str, list[Any]]) -> Column:
    tasks = entry.get("tasks", [])
    return Column(
        printed=entry["printed"],
        title=entry["title"],
        members=tuple(map(_member, task_lists[tasks] if isinstance(tasks, str) else tasks)),
        length_tokens=None if entry.get("length") in (None, "any") else int(entry["length"]),
        mean_of=tuple(entry.get("mean_of", ())),
    )


def _member(entry: str | Mapping[str, list[Any]]) -> Member:
    if isinstance(entry, str):
        return Member(((entry,),))
    return Member(tuple((one,) if isinstance(one, str) else tuple(one["mean_of"]) for one in entry["first_of"]))


ANY_LENGTH_TOKENS = 4096
"""Where tasks whose length does not matter are asked: the one of the streams beside them."""


def published_runs(name: str) -> tuple[PublishedRun, ...]:
    """The runs that fill a published table (`paper1`, ...), every cell that stands behind a column once."""
    content = _layouts()
    columns = [column for column in published_table(name).columns if not column.mean_of]
    found = []
    for run, described in content["runs"].items():
        own = {
            task
            for listed in described["lists"]
            for entry in content["task_lists"][listed]
            for task in _member(entry).alternatives[0]
        }
        asked = [column for column in columns if own.issuperset(column.first_tasks)]
        if asked:
            tasks = dict.fromkeys(task for column in asked for task in column.first_tasks)
            lengths = {column.length_tokens or ANY_LENGTH_TOKENS for column in asked}
            found.append(PublishedRun(run, tuple(tasks), tuple(sorted(lengths)), described["rows"]))
    return tuple(found)


def published_rows(name: str) -> dict[str, int | None]:
    """Rows of a cell in the paper's own run, by task; see `PublishedRun.rows`."""
    return {task: run.rows for run in published_runs(name) for task in run.tasks}


def published_checkpoints(name: str) -> dict[str, Any]:
    """What a layout says of the cards that fill it: `fill`, the fields of the table's row that they name, and a `note`; else empty."""
    found: dict[str, Any] = _layouts()[name].get("checkpoints", {})
    return found


def discrepancies() -> list[Discrepancy]:
    """Every printed average that differs from the mean of its printed cells by more than its own rounding (0.05)."""
    found = []
    for table in published_tables().values():
        for labels in table.values:
            for column in table.columns:
                printed, recomputed = table.values[labels][column.printed], table.recomputed(labels, column)
                if abs(printed - recomputed) > PRINTED_STEP / 2:
                    found.append(Discrepancy(table.name, labels, column.printed, printed, recomputed))
    return found
