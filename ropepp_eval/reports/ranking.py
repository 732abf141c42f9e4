"""Which entries of a table are best and second, whether that could be luck, and their intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ropepp_eval.reports.measures import comparable, measure_difference, measure_interval
from ropepp_eval.reports.naming import counted
from ropepp_eval.reports.statistics import holm
from ropepp_eval.reports.table import Entry, Section, Table
from ropepp_eval.resolution import LEVEL

EQUAL = 1e-9
"""Values nearer than this are one value."""


@dataclass(frozen=True)
class Race:
    """The entries of one column and group, best first."""

    section: int
    column: int
    places: tuple[int, ...]
    """Line numbers of the best (all that are equal)."""
    second: tuple[int, ...]
    """Line numbers of the second; empty where several are best."""
    runners: int
    """How many compete. The second of two is last, and is not marked."""


def with_intervals(table: Table) -> Table:
    """The table with a 95 % interval on every measured entry."""
    return replace(table, sections=tuple(_with_intervals(section) for section in table.sections))


def _with_intervals(section: Section) -> Section:
    lines = []
    for line in section.lines:
        entries = tuple(replace(e, interval=measure_interval(e.measure)) if e.measure else e for e in line.entries)
        lines.append(replace(line, entries=entries))
    return replace(section, lines=tuple(lines))


def with_marks(table: Table, *, significant: bool = False) -> Table:
    """The table with best and second marked in every column, within each group of lines.

    Partial averages are not ranked: they are over different members. With `significant`, marks stay only where best
    and second differ by a paired test on their common rows, Holm-adjusted over all columns and groups of the table.

    Raises:
        UserError: `significant`, and two entries share no rows (other seeds, tokenizers, ...).
    """
    races = [race for number, section in enumerate(table.sections) for race in _races(number, section)]
    where = " of each column within its group"
    if significant:
        p_values = holm([_p_value(table, race) for race in races])
        races = [race for race, p in zip(races, p_values, strict=True) if p is not None and p <= LEVEL]
        tests = counted(sum(p is not None for p in p_values), "test")
        where = f" only where it differs from the next by a paired test (5 %, Holm over {tests})"
    marks = {(race.section, line, race.column): "best" for race in races for line in race.places}
    marks |= {(race.section, line, race.column): "second" for race in races for line in race.second if race.runners > 2}
    second = " and second (underlined, +)" if "second" in marks.values() else ""
    notes = [f"marked: best (bold, *){second}{where}"]
    numbered = replace(
        table, sections=tuple(_marked(number, section, marks) for number, section in enumerate(table.sections))
    )
    return replace(numbered, notes=(*table.notes, *(notes if races or significant else ())))


def _races(number: int, section: Section) -> list[Race]:
    races = []
    for group in dict.fromkeys(line.group for line in section.lines):
        for column, higher in enumerate(section.higher_is_better):
            if higher is None:
                continue
            runners = [
                (-value if higher else value, place)
                for place, line in enumerate(section.lines)
                if line.group == group and line.ranked and (value := _rankable(line.entries[column])) is not None
            ]
            race = _race(number, column, sorted(runners))
            if race is not None:
                races.append(race)
    return races


def _rankable(entry: Entry) -> float | None:
    return None if entry.members is not None else entry.value


def _race(section: int, column: int, runners: list[tuple[float, int]]) -> Race | None:
    """None where there is nothing to win: fewer than two entries, or all equal."""
    if len(runners) < 2 or runners[-1][0] - runners[0][0] < EQUAL:
        return None
    best = tuple(place for value, place in runners if value - runners[0][0] < EQUAL)
    rest = runners[len(best) :]
    second = tuple(place for value, place in rest if value - rest[0][0] < EQUAL) if len(best) == 1 else ()
    return Race(section, column, best, second, len(runners))


def _p_value(table: Table, race: Race) -> float | None:
    """The largest p of best against each second; None where several are best (that is a tie) or nothing is measured."""
    lines = table.sections[race.section].lines
    best = lines[race.places[0]].entries[race.column].measure
    p_values = []
    for place in race.second:
        other = lines[place].entries[race.column].measure
        if best and other and comparable(best, other):
            p_values.append(measure_difference(best, other).p_value)
    tested = [p for p in p_values if p is not None]
    return max(tested) if tested and len(tested) == len(race.second) else None


def _marked(number: int, section: Section, marks: dict[tuple[int, int, int], str]) -> Section:
    lines = []
    for place, line in enumerate(section.lines):
        entries = tuple(
            replace(entry, mark=marks.get((number, place, column), "")) for column, entry in enumerate(line.entries)
        )
        lines.append(replace(line, entries=entries))
    return replace(section, lines=tuple(lines))
