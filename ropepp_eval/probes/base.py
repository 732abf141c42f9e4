"""The shape that all probes share: cells of rows or settings are measured into records, records make a frame, a frame numbers and pictures.

A record is a stored line like any other (`ropepp_eval.records`): `scores` are what tables average, `details` what the frame is made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.hashing import hash_json
from ropepp_eval.runs.store import folder_name

if TYPE_CHECKING:
    import pandas

    from ropepp_eval.probes.heads import HeadFacts
    from ropepp_eval.runs.plan import Cell

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """What came out for one row."""

    scores: Mapping[str, Any] | None
    """Numbers by metric, or [sum, weight] pairs; None where the row failed."""
    details: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the record, such as `responses`."""


@dataclass(frozen=True)
class Setting:
    """Stands where another probe has a row: what is measured without a text, such as a batch of 8 at 4k."""

    values: Mapping[str, Any]
    row: int = 0
    prompt_tokens: int | None = None
    max_new_tokens: int | None = None
    cluster: str = ""
    stand_in: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hash_json(dict(self.values))


@dataclass(frozen=True)
class ProbeCell:
    """Rows of one (checkpoint, task, length), under one condition where the probe has some."""

    label: str
    """What tables call it: the checkpoint, with what was done to it (`ropepp_ec~real0.4`)."""
    checkpoint_sha256: str
    position: str
    task: str
    length_tokens: int
    rows: tuple[Any, ...]
    """`Row`s, or `Setting`s."""
    condition: Any = None
    """What is done to the model; None: nothing."""
    planned: Cell | None = None
    """The cell of the run's plan that the rows are from."""

    @property
    def file(self) -> str:
        """Of its rows, inside the run folder's `rows/`."""
        return f"{folder_name(self.label, self.checkpoint_sha256)}/{self.task}@{self.length_tokens}.jsonl"


class Probe(ABC):
    """One kind of probe; an instance holds its settings."""

    kind: ClassVar[str]
    """What `ropepp-eval probe` calls it."""
    of_heads: ClassVar[bool] = True
    """Whether it looks into heads, which only models with a position embedding of this package show."""
    quick: ClassVar[bool] = False
    """Whether a cell takes no time worth a word."""
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What tables show of it, the first one unless asked: by name, aggregation, higher_is_better and scale."""

    def settings(self) -> dict[str, Any]:
        """What decides the numbers beside checkpoint, device and row; part of every key."""
        return {}

    def check(self, facts: HeadFacts) -> None:  # noqa: B027 (most kinds take any)
        """Raise UserError where the probe can't look into a checkpoint with such heads."""

    def cells(self, cell: ProbeCell, facts: HeadFacts | None) -> list[ProbeCell]:
        """The cells that are measured for one cell of the plan; several where the probe has conditions."""
        return [cell]

    def described(self, cell: ProbeCell) -> dict[str, Any]:
        """What `run.json` says of the cell's task: how its rows become numbers of a table."""
        return {
            "benchmark": self.kind,
            "primary": next(iter(self.metrics)),
            "averaged": False,
            "metrics": {name: dict(rule) for name, rule in self.metrics.items()},
        }

    @abstractmethod
    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        """Each row of `rows` with what came out, as soon as it is known.

        Args:
            subject: a `NativeLM` for probes of rows; what `Probe` itself says for others.
            cell: where the rows are from.
            rows: those that are not measured yet.
        """

    @abstractmethod
    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a smallest number (a head, a bucket, a dimension) of records without errors."""

    @abstractmethod
    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """What the picture shows, with intervals."""


def head_metrics(*names: str, scale: float = 1.0) -> dict[str, dict[str, Any]]:
    """`NAME_real` and `NAME_imaginary` as means over rows."""
    rule = {"aggregation": "mean", "higher_is_better": True, "scale": scale}
    return {f"{name}_{role}": dict(rule) for name in names for role in ("real", "imaginary")}


def name_columns(record: Record) -> dict[str, Any]:
    """The columns that every frame begins with."""
    return {name: record[name] for name in ("checkpoint", "position", "task", "length_tokens", "row")} | {
        "cluster": record.get("cluster") or record["row_sha256"]
    }
