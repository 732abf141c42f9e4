"""What the page's data is made of. The page reads it as JSON, so names here are names there.

Every text is `inert`: names, answers and messages come from outside. Numbers are the printed ones of tables, so that no reader sees
two roundings of one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropepp_eval.reports.table import Section


@dataclass(frozen=True)
class CheckpointFacts:
    """One checkpoint; others name it by its place in the list."""

    label: str
    position: str
    sha256: str
    parameters: int | None
    trained_length: str
    """In words; empty where the run recorded none."""
    cache_bytes: int | None
    """That a token adds to the KV cache."""
    note: str


@dataclass(frozen=True)
class Point:
    """One value of a line."""

    x: float
    text: str
    """The value as printed; empty where it is missing."""
    low: str
    """Of the 95 % interval; empty where there is none."""
    high: str
    rows: int
    note: str = ""
    """What is to be known of it: unfinished, failed rows, generated text."""


@dataclass(frozen=True)
class ChartLine:
    """One checkpoint in a chart."""

    checkpoint: int
    points: tuple[Point, ...]
    ring: float | None = None
    """Where its effective length stands."""


@dataclass(frozen=True)
class Chart:
    """Values against a number, one line a checkpoint."""

    kind: str
    """`lengths`, `positions` or `cache`."""
    group: str
    """What values can be put beside each other: benchmark, protocol and metric."""
    name: str
    """Which of the group's charts: a task, or the mean over tasks."""
    mean: bool
    title: str
    x_label: str
    y_label: str
    logarithmic: bool
    percent: bool
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]
    """Vertical lines with their names: trained lengths."""
    lines: tuple[ChartLine, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DepthMap:
    """One checkpoint's values by depth (first index, from the beginning of the context) and length: printed value and rows."""

    checkpoint: int
    boxes: tuple[tuple[tuple[str, int], ...], ...]


@dataclass(frozen=True)
class Depths:
    """Depth maps of one task."""

    name: str
    title: str
    percent: bool
    depths: tuple[str, ...]
    lengths: tuple[str, ...]
    maps: tuple[DepthMap, ...]


@dataclass(frozen=True)
class PairLine:
    """A place where two checkpoints have rows in common: an average of cells, or a cell."""

    average: bool
    what: str
    length: str
    protocol: str
    method: str
    percent: bool
    numbers: tuple[str, ...]
    """first, second, difference, low, high, p, p (Holm), as printed."""
    rows: int
    documents: int
    unpaired: int
    better: int
    """1: the first, -1: the second, 0: neither."""
    finding: str
    differing: int
    """Rows with different scores."""


@dataclass(frozen=True)
class Pair:
    """Two checkpoints against each other, by their places."""

    first: int
    second: int
    refused: str
    """Why they can't be compared; empty where they can."""
    sentences: tuple[str, ...] = ()
    lines: tuple[PairLine, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """The rows that the page holds, as columns: questions, and what each checkpoint answered them."""

    total: int
    said: str
    """Which rows are left out; empty where none is."""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column: the names that its numbers stand for."""
    questions: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    answers: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fact:
    """A name and what it says."""

    name: str
    value: str


@dataclass(frozen=True)
class RunFacts:
    """Where some of the rows come from."""

    name: str
    status: str
    command: str
    """That repeats the run; empty where the run does not say."""
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Progress:
    """How far runs that go on have come."""

    cells: int
    finished_cells: int
    rows: int
    finished_rows: int
    going_on: bool
    """Whether a run has not ended."""
    workers: tuple[str, ...] = ()
    """What each worker of runs on a cluster does, a line each."""


@dataclass(frozen=True)
class Summary:
    """The top of the page."""

    sentences: tuple[str, ...]
    ran: tuple[Fact, ...]
    missing: tuple[str, ...]
    """What is missing or failed."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything that the page shows."""

    title: str
    summary: Summary
    effective: tuple[Section, ...]
    """Effective context lengths."""
    effective_words: tuple[str, ...]
    """What the words of these tables mean."""
    progress: Progress
    checkpoints: tuple[CheckpointFacts, ...]
    charts: tuple[Chart, ...]
    depths: tuple[Depths, ...]
    pairs: tuple[Pair, ...]
    rows: Rows
    runs: tuple[RunFacts, ...]
