"""What rows can show and how many a difference needs: one test with the reports', power as simulation finds it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ropepp_eval import resolution
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.reports.paired_shares import PairedShares
from ropepp_eval.resolution import no_difference_p_value, paired_power, resolution_in_words, rows_needed, smallest_difference


@pytest.mark.parametrize("counts", [(15, 12, 0), (15, 5, 0), (5, 5, 0), (40, 1, 8), (100, 20, 8), (300, 50, 30), (30, 4, 4)])
def test_the_p_value_of_no_difference_is_that_of_the_reports(counts):
    rows, b, c = counts
    assert no_difference_p_value(rows, b + c, abs(b - c)) == pytest.approx(PairedShares(*counts).two_sided(), rel=1e-6)


def test_the_smallest_difference_has_the_power_it_says():
    smallest = smallest_difference(200, disagreement=0.3)
    counts = np.random.default_rng(15).multinomial(200, [(0.3 + smallest) / 2, (0.3 - smallest) / 2, 0.7], 20_000)
    found = [no_difference_p_value(200, int(b + c), int(abs(b - c))) <= 0.05 for b, c in np.unique(counts[:, :2], axis=0)]
    _, number = np.unique(counts[:, :2], axis=0, return_counts=True)
    assert np.average(found, weights=number) == pytest.approx(0.8, abs=0.012)
    assert paired_power(200, smallest, 0.3) == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("difference", [0.5, 0.2, 0.05, 0.01])
@pytest.mark.parametrize("level", [0.05, 0.05 / 20])
def test_the_rows_needed_show_the_difference_and_a_tenth_fewer_do_not(difference, level):
    rows = rows_needed(difference, level=level)
    assert paired_power(rows, difference, level=level) >= 0.8
    assert paired_power(int(0.9 * rows) - 1, difference, level=level) < 0.8


def test_rows_needed_and_smallest_difference_are_one_anothers_inverse():
    for rows in (40, 150, 700):
        smallest = smallest_difference(rows)
        assert rows_needed(smallest) == pytest.approx(rows, rel=0.05)


def test_the_normal_curve_gives_the_power_that_counting_gives(monkeypatch):
    counted = paired_power(1400, 0.035)
    monkeypatch.setattr(resolution, "MANY_ROWS", 1000)
    assert paired_power(1400, 0.035) == pytest.approx(counted, abs=2e-3)


def test_more_rows_show_smaller_differences_and_five_show_none():
    found = [smallest_difference(rows) for rows in (6, 20, 100, 500)]
    assert found == sorted(found, reverse=True)
    assert smallest_difference(5) is None
    assert smallest_difference(0) is None
    assert "needs at least 6" in resolution_in_words(5)
    assert "with 100 rows a cell a paired test shows differences of 12.1 points or more" in resolution_in_words(100)


@pytest.mark.parametrize("difference", [0.0, -0.05, 1.01, 5.0, 0.0001])
def test_a_difference_that_no_plan_can_ask_for_is_refused(difference):
    with pytest.raises(UserError, match=r"is not between 0\.1 and 100 points"):
        rows_needed(difference)


def resolution_json(capsys, *arguments):
    assert main(["resolution", *arguments, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_says_rows_for_a_difference_and_the_reverse(capsys):
    rows = resolution_json(capsys, "--detect", "10", "--tasks", "4", "--lengths", "2")["rows_a_cell"]
    assert rows["one_cell"] == rows_needed(0.1)
    assert rows["one_cell_of_table"] == rows_needed(0.1, level=0.05 / 8)
    assert rows["mean_over_tasks"] == -(-rows_needed(0.1) // 4)
    back = resolution_json(capsys, "--rows", str(rows["one_cell_of_table"]), "--tasks", "4", "--lengths", "2")["points"]
    assert back["one_cell_of_table"] == pytest.approx(10, abs=0.3)
    assert back["one_cell"] < back["one_cell_of_table"]
    assert resolution_json(capsys, "--rows", "5")["points"]["one_cell"] is None


def test_the_command_speaks_in_lines_that_fit(capsys):
    for arguments in (["--detect", "50"], ["--rows", "3"], ["--rows", "1"]):
        assert main(["resolution", *arguments]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 6
        assert max(map(len, said)) <= 120


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give either --detect POINTS"),
        (["--detect", "5", "--rows", "5"], "give either --detect POINTS"),
        (["--detect", "-5"], "difference -5 is not between 0.1 and 100 points"),
        (["--detect", "nan"], "difference nan is not between"),
        (["--rows", "0"], "--rows 0 is not between 1 and"),
        (["--detect", "5", "--tasks", "0"], "--tasks 0 is not between 1 and"),
        (["--detect", "5", "--power", "100"], "--power 100 is not between 50 and 100 percent"),
        (["--detect", "5", "--format", "csv"], "unknown format 'csv'"),
    ],
)
def test_a_wrong_question_is_one_line_and_status_2(capsys, arguments, reason):
    assert main(["resolution", *arguments]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


def test_a_run_takes_its_rows_from_the_difference_asked_for(capsys, monkeypatch):
    asked = {}

    def stop(*checkpoints, **settings):
        asked.clear()
        asked.update(settings)
        raise UserError("far enough")

    monkeypatch.setattr("ropepp_eval.runs.config.RunConfig.of", stop)
    start = ["run", "models/demo/rope", "--tasks", "niah_single_1", "--lengths", "256"]
    assert main([*start, "--detect", "20"]) == 2
    assert asked["samples"] == rows_needed(0.2)
    assert main(start) == 2
    assert "samples" not in asked, "the default is the config's"
    assert main([*start, "--detect", "20", "--samples", "5"]) == 2
    assert "give one of the two" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [100, 500])
def test_equal_checkpoints_are_told_apart_at_most_as_often_as_the_level_says(rows):
    """Exact, over every number of differing rows with its chance."""
    for disagreement in (0.02, 0.04, 0.1, 0.18, 0.25, 0.42, 0.5):
        assert paired_power(rows, 0.0, disagreement) <= 0.055
