"""Which differences from a published table are larger than the rows behind them can explain.

The rule, for one number d points off the published one. `reach` is how far the own score's 95 % interval goes towards the published number.

- Where the paper drew rows of its own (the tasks whose rows are made), the published number is a single run of `n` rows, known as badly: with
  m own rows of the same spread, reach grows by the factor sqrt(1 + m / n).
- Where both asked the questions of one data set, the published number counts as known: reach stays as it is. For the whole of a data set that
  is generous, since there the choice of questions moves nothing; what it covers is answers that lie so close that a batch or a dtype turns them.
- A perplexity of one text has no interval: nothing is explained.
- The published number is rounded to 0.1, so 0.05 is always explained.

One cell in twenty is named where nothing but chance is at work; each is judged alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ropepp_eval.reports.measures import measure_interval
from ropepp_eval.reports.naming import counted
from ropepp_eval.reports.published import PRINTED_STEP, Column
from ropepp_eval.reports.table import Entry

ROUNDING = float(PRINTED_STEP) / 2


@dataclass(frozen=True)
class Judged:
    """One measured number beside its published one."""

    where: str
    """Line and column, in words."""
    measured: Entry
    published: float
    explained: float | None
    """How far the published number may be off by the rows and its rounding, in points; None: too few rows to say."""

    @property
    def difference(self) -> float:
        """Measured minus published."""
        assert self.measured.value is not None
        return self.measured.value - self.published

    @property
    def too_large(self) -> bool:
        return self.explained is not None and abs(self.difference) > self.explained + 1e-9

    def __str__(self) -> str:
        assert self.measured.value is not None
        assert self.explained is not None
        return (
            f"{self.where}: {self.measured.value:.1f} of {counted(self.measured.rows, 'row')}, published {self.published:.1f}: "
            f"{self.difference:+.1f}, explained {self.explained:.1f}"
        )


def judged(
    where: str, column: Column, measured: Entry, published: float, paper_rows: Mapping[str, int | None]
) -> Judged | None:
    """A number of a table and what is explained of its difference; None where there is none, or one of fewer members.

    Args:
        where: the line.
        paper_rows: rows of a cell in the paper's run, by task; see `published.PublishedRun.rows`.
    """
    if measured.value is None or measured.members is not None:
        return None
    return Judged(f"{where}, {column.title}", measured, published, _explained(column, measured, published, paper_rows))


def _explained(column: Column, measured: Entry, published: float, paper_rows: Mapping[str, int | None]) -> float | None:
    assert measured.value is not None
    interval = measure_interval(measured.measure)
    if interval is None:
        return None if column.higher_is_better else ROUNDING
    low, high = interval
    reach = max(0.0, high - measured.value if published > measured.value else measured.value - low)
    theirs = [paper_rows.get(part.cell.name.task) for part in measured.measure]
    drawn = sum(rows for rows in theirs if rows is not None)
    return ROUNDING + reach * (math.sqrt(1 + measured.rows / drawn) if drawn and None not in theirs else 1.0)


def unexplained_notes(found: Sequence[Judged]) -> tuple[str, ...]:
    """How many differences are larger than the rows explain, and a line for each of them."""
    known = [one for one in found if one.explained is not None]
    large = [one for one in known if one.too_large]
    notes = []
    if known:
        notes.append(
            f"larger than rows and rounding explain: {len(large)} of {counted(len(known), 'difference')} (docs/published.md has the rule; "
            "of twenty that are chance alone one is named)"
        )
    notes += map(str, large)
    few = len(found) - len(known)
    if few:
        notes.append(f"not judged: {counted(few, 'difference')} of too few rows for an interval")
    return tuple(notes)
