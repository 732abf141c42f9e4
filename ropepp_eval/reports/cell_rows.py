"""The rows of a cell: columns for statistics at once, whole records when somebody asks for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa

from ropepp_eval.reports import columns
from ropepp_eval.reports.aggregation import Scores
from ropepp_eval.reports.columns import Integers, numbers_of

Record = Mapping[str, Any]


class Rows(Sequence[Record]):
    """Rows in an order. As a sequence it holds their records, which may have to be read from disk; its properties need no record.

    Args:
        table: columns of `columns.SCHEMA`, a line a row.
        load: gives the records, in the same order.
    """

    def __init__(self, table: pa.Table, load: Callable[[], Sequence[Record]]) -> None:
        self._table, self._load = table, load
        self._scored: dict[str, ScoredRows] = {}

    @classmethod
    def of(cls, records: Sequence[Record]) -> Rows:
        """Rows whose records are at hand."""
        return cls(columns.columns_of(records), lambda: records)

    @functools.cached_property
    def _records(self) -> Sequence[Record]:
        return self._load()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        return self._records[place]

    def take(self, places: Integers) -> Rows:
        """The rows at these places, in that order."""
        if np.array_equal(places, np.arange(len(self))):
            return self
        load = self._load
        return Rows(self._table.take(columns.arrow_integers(places)), lambda: _taken(load(), places))

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        loads = [part._load for part in parts]
        return Rows(columns.joined([part._table for part in parts]), lambda: [one for load in loads for one in load()])

    @functools.cached_property
    def numbers(self) -> Integers:
        """`row` of each."""
        return columns.integers(self._table, "row")

    @functools.cached_property
    def hashes(self) -> Integers:
        """A number for the `row_sha256` of each, the same wherever the text is."""
        return numbers_of(columns.texts(self._table, "row_sha256"))

    @functools.cached_property
    def share_documents(self) -> bool:
        """Whether any names a source document."""
        return any(columns.distinct_texts(self._table, "cluster"))

    @functools.cached_property
    def clusters(self) -> Integers:
        """A number for the source document of each within its task; where it shares none, for the row itself."""
        if not self.share_documents:
            return self.hashes
        named = columns.texts(self._table, "cluster")
        names: list[Hashable] = []
        tasks = [cell[4] for cell in columns.cell_names(self._table)]  # the rows are of one cell
        for cluster, row in zip(named, columns.texts(self._table, "row_sha256"), strict=True):
            names.append((tasks[0], cluster) if cluster else row)
        return numbers_of(names)

    @functools.cached_property
    def questions(self) -> list[tuple[int, bytes] | None]:
        """What tells whether rows of two cells ask the same of one document; None where a row names no document."""
        clusters = columns.texts(self._table, "cluster")
        asked = columns.texts(self._table, "references")
        return [
            (int(number), references) if cluster else None
            for number, cluster, references in zip(self.clusters, clusters, asked, strict=True)
        ]

    @functools.cached_property
    def failed(self) -> Any:
        """Whether each has an error in place of scores."""
        return columns.flags(self._table, "failed")

    @functools.cached_property
    def cut(self) -> int:
        """How many had their prompt cut."""
        return int(columns.flags(self._table, "cut").sum())

    @functools.cached_property
    def stand_in(self) -> bool:
        """Whether any was made from text that stands in for a corpus."""
        return bool(columns.flags(self._table, "stand_in").any())

    @property
    def seeds(self) -> set[int]:
        return set(columns.distinct_values(self._table, "seed")) - {None}

    @functools.cached_property
    def tokens(self) -> Integers:
        """Of prompt and budget, of the rows that say it."""
        return columns.integers(self._table, "tokens")

    def values(self, field: str, *, scored: bool = False) -> set[Any]:
        """Distinct values of `seed`, `tokenizer_sha256` or `scorer_sha256`; with `scored` of the rows that have scores."""
        table = self._table
        if scored:
            known = columns.flags(table, "scored")
            table = table if known.all() else table.take(columns.arrow_integers(np.flatnonzero(known)))
        return set(columns.distinct_values(table, field))

    def scored(self, metric: str) -> ScoredRows:
        """The rows that have a finite score in `metric`. Failed rows and rows whose score is null are left out and not counted."""
        if metric not in self._scored:
            self._scored[metric] = self._scored_in(metric)
        return self._scored[metric]

    def _scored_in(self, metric: str) -> ScoredRows:
        places, tops, bottoms, pairs = columns.scores_in(self._table, metric)
        kept = ~self.failed[places]
        finite = np.isfinite(tops) & np.isfinite(bottoms) & kept
        scores = Scores(tops[finite], bottoms[finite], pairs[finite])
        return ScoredRows(self.take(places[finite]), scores, int(kept.sum() - finite.sum()))


class ScoredRows(NamedTuple):
    """What a cell has in one metric."""

    rows: Rows
    """Those with a finite score."""
    scores: Scores
    not_finite: int
    """How many more have a score that is NaN or infinite."""


def _taken(records: Sequence[Record], places: Integers) -> list[Record]:
    return [records[place] for place in places.tolist()]
