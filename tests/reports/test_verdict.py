"""The sentences before a comparison and after a table: true to the tables, whole for every outcome."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from ropepp_eval.cli import compare as compare_command
from ropepp_eval.cli import table as table_command
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, write_run


def shares(right: int, rows: int = 20) -> list[float]:
    return list(np.random.default_rng(right).permutation([1.0] * right + [0.0] * (rows - right)))


def ruler(name: str, *rights: int, rows: int = 20, **change: object) -> list[FakeCell]:
    """Cells of two tasks at as many lengths as numbers of right rows are given."""
    return [
        FakeCell(checkpoint=name, task=task, length_tokens=1024 << i, scores=shares(right, rows), **change)
        for task in ("vt", "cwe")
        for i, right in enumerate(rights)
    ]


def lead(tmp_path, capsys, *cells: FakeCell) -> list[str]:
    out = printed(compare_command, capsys, "a", "b", write_run(tmp_path / "run", list(cells)))
    return out.split("\n\n")[0].splitlines()


def test_a_comparison_begins_with_who_is_better_by_how_much_and_where(tmp_path, capsys):
    said = lead(tmp_path, capsys, *ruler("a", 20, 20, 18), *ruler("b", 20, 19, 2))
    assert re.match(
        r"ruler: a is better than b by 28\.3 points \(95 % interval [\d.]+ to [\d.]+\), mean of 6 cells; 94 % of it from "
        r"cwe at 4k and vt at 4k$",
        said[0],
    )
    assert said[1] == "ruler by length: a better at 4k (+80.0); tied at 1k and 2k"
    assert re.match(
        r"a tie of cells means a difference under \d+ points, not none: 20 rows a cell, tested beside 5 others", said[2]
    )


def test_the_other_side_is_named_where_it_wins(tmp_path, capsys):
    said = lead(tmp_path, capsys, *ruler("a", 2, 20), *ruler("b", 20, 19))
    assert said[0].startswith("ruler: b is better than a by 42.5 points (95 % interval ")
    assert said[1] == "ruler by length: b better at 1k (-90.0); tied at 2k"


def test_a_win_against_the_mean_is_not_hidden(tmp_path, capsys):
    said = lead(tmp_path, capsys, *ruler("a", 20, 20, 20, 2), *ruler("b", 2, 2, 2, 20))
    assert said[2].startswith("ruler, the other way: b better at cwe at 8k (-90.0) and vt at 8k (-90.0)")


def test_a_tie_is_said_with_its_interval_and_what_the_rows_could_show(tmp_path, capsys):
    said = lead(tmp_path, capsys, *ruler("a", 10, 11), *ruler("b", 10, 10))
    assert re.match(
        r"ruler: tied \(a minus b is \+2\.5 points; 95 % interval -[\d.]+ to \+[\d.]+\), mean of 4 cells$", said[0]
    )
    assert said[1] == "ruler by length: tied at 1k and 2k"


def test_few_rows_and_few_documents_are_said_to_say_nothing(tmp_path, capsys):
    few = lead(tmp_path / "few", capsys, *ruler("a", 3, rows=4), *ruler("b", 1, rows=4))
    assert "a tie of cells says nothing here: 4 rows a cell can't show any difference beside 1 other" in few
    clusters = [f"story-{i // 10}" for i in range(20)]
    cells = [FakeCell(checkpoint=name, scores=shares(n), clusters=clusters) for name, n in (("a", 18), ("b", 3))]
    assert "niah_single_1 can't tell: its 20 rows come from 2 documents" in lead(tmp_path / "stories", capsys, *cells)


def test_lower_perplexity_is_better_in_words_too(tmp_path, capsys):
    losses = np.random.default_rng(0).normal(300, 10, 30)
    cells = [
        FakeCell(
            checkpoint=name, benchmark="lambada", task="lambada_sliding", metric="ppl", rule=PERPLEXITY,
            scores=[(float(loss + add + i % 3), 100.0) for i, loss in enumerate(losses)],
        )
        for name, add in (("a", 20.0), ("b", 0.0))
    ]  # fmt: skip
    cells[1].scores = [(loss - (i % 5), weight) for i, (loss, weight) in enumerate(cells[1].scores)]
    (said,) = lead(tmp_path, capsys, *cells)
    assert re.match(r"lambada_sliding at 4k: b is better than a by \d\.\d\d \(95 % interval \d\.\d\d to \d\.\d\d\)$", said)


@pytest.mark.parametrize("form", ["markdown", "json", "latex", "html"])
def test_the_verdict_comes_first_in_every_format_for_people(tmp_path, capsys, form):
    run = write_run(tmp_path / "run", [*ruler("a", 20, 18), *ruler("b", 20, 2)])
    out = printed(compare_command, capsys, "a", "b", run, "--format", form)
    assert out.index("a is better than b by") < out.index("difference")
    assert form != "json" or json.loads(out)["verdict"][0].startswith("ruler: a is better")


def last(tmp_path, capsys, *cells: FakeCell, layout: str = "lengths") -> str:
    out = printed(table_command, capsys, write_run(tmp_path / "run", list(cells)), "--layout", layout)
    return out.splitlines()[-1]


@pytest.mark.parametrize("layout", ["lengths", "tasks"])
def test_a_table_of_several_ends_with_who_is_best(tmp_path, capsys, layout):
    cells = [*ruler("a", 20, 3), *ruler("b", 20, 18), *ruler("c", 19, 19)]
    found = last(tmp_path, capsys, *cells, layout=layout)
    assert re.match(
        r"ruler, mean of 4 cells that all have: (b|c) is best \(95\.0\), better than a by 37\.5 points \(95 % interval [\d.]+ to "
        r"[\d.]+\); tied with (b|c)$",
        found,
    )


def test_a_table_of_one_checkpoint_or_of_other_rows_promises_nothing(tmp_path, capsys):
    assert "is best" not in last(tmp_path / "one", capsys, *ruler("a", 20, 3))
    one = write_run(tmp_path / "seed", ruler("a", 20, 3))
    other = write_run(tmp_path / "other", ruler("b", 20, 3, seed=7))
    out = printed(table_command, capsys, one, other)
    assert "ruler, mean of 4 cells that all have: not tested; cwe at 1k: a and b have no row in common" in out


def test_only_cells_that_all_have_are_in_the_mean(tmp_path, capsys):
    found = last(tmp_path, capsys, *ruler("a", 20, 3), *ruler("b", 20))
    assert found.startswith("ruler, mean of 2 cells that all have: a is first (100.0), tied with b")
