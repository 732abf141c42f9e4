"""Where the questions of a benchmark come from, and the rows that they become: from files of the data folder, or made ones in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ropepp_eval.data import DataFolder
from ropepp_eval.rows.continuations import Definition, continuation_rows
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.ranking import RANKING, RankingSettings, Record, Records, ranked_rows, written_rows
from ropepp_eval.rows.row import Row, RowRequest

Source = TypeVar("Source")
"""Says where a task's questions lie in the data folder, and how they are read."""


@dataclass(frozen=True, kw_only=True)
class Questions(Generic[Source]):
    """A benchmark whose tasks ask questions. Its functions are row builders; `files_read` is what the row cache asks of each of them."""

    benchmark: str
    """Whose `protocols.yaml` holds the templates."""
    sources: Mapping[str, Source]
    """By task."""
    reference_sources: Mapping[str, Source]
    """By task, with `--protocol reference`."""
    files_of: Callable[[DataFolder, Source], list[Path]]
    """The files that a source names. Raises UserError where the data folder lacks one."""
    records_of: Callable[[DataFolder, Source], Records]
    """What they hold. Raises UserError where a file is missing or wrong."""
    stand_in: Callable[[str], Sequence[Record]]
    """Made questions of a task, as its source reads them."""
    as_reference: Callable[[str, Record], Record]
    """One of those as the reference's source reads it."""

    def chosen(self, request: RowRequest) -> list[Row]:
        """Rows of a task whose choices are compared, as the protocol compares them.

        Raises:
            UserError: the protocol has no such task, a file is missing or wrong, or a text is longer than the length.
        """
        settings = self._settings(request)
        if settings.ranking == RANKING:
            settings.template(request.task)  # before its files are looked for
            return ranked_rows(request, self._records(request), settings)
        definition = settings.described(request.task, Definition)
        return continuation_rows(request, self._records(request), definition)

    def written(self, request: RowRequest) -> list[Row]:
        """Rows of a task whose answers are written. Raises UserError as `chosen`."""
        settings = self._settings(request)
        settings.template(request.task)
        return written_rows(request, self._records(request), settings)

    def files_read(self, request: RowRequest) -> list[Path]:
        """The data files that a request's rows are made from."""
        source = self._sources(request).get(request.task)
        return [] if request.data.root is None or source is None else self.files_of(request.data, source)

    def _settings(self, request: RowRequest) -> RankingSettings:
        return protocol_settings(self.benchmark, request.protocol, RankingSettings)

    def _sources(self, request: RowRequest) -> Mapping[str, Source]:
        return self.reference_sources if request.protocol == "reference" else self.sources

    def _records(self, request: RowRequest) -> Records:
        if request.data.root is not None:
            return self.records_of(request.data, self._sources(request)[request.task])
        records = self.stand_in(request.task)
        if request.protocol == "reference":
            records = tuple(self.as_reference(request.task, record) for record in records)
        return Records(records=records, stand_in=True)
