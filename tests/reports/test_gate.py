"""The gate: worse, not worse or undecided, with the exit status, as often right as its confidence says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import multinomial

from ropepp_eval.cli import main
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.gate import gate
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.paired_shares import PairedShares
from tests.reports.results_folders import PERPLEXITY, FakeCell, write_run


def shares(right: int, rows: int = 100) -> list[float]:
    return [1.0] * right + [0.0] * (rows - right)


def two(folder, first, second, **change):
    return write_run(
        folder / "run", [FakeCell(checkpoint=name, scores=s, **change) for name, s in (("a", first), ("b", second))]
    )


def judged(capsys, *arguments):
    capsys.readouterr()
    status = main(["compare", "a", "b", *map(str, arguments)])
    return status, capsys.readouterr()


@pytest.mark.parametrize(
    ("first", "second", "status", "head"),
    [
        (60, 90, 1, "gate FAILED (95 % confidence)"),
        (90, 60, 0, "gate passed (95 % confidence)"),
        (99, 100, 4, "gate UNDECIDED (95 % confidence)"),
        (85, 90, 4, "gate UNDECIDED (95 % confidence)"),
    ],
)
def test_each_verdict_has_its_exit_status_and_is_said_first(tmp_path, capsys, first, second, status, head):
    found, said = judged(capsys, two(tmp_path, shares(first), shares(second)), "--fail-below", "-2")
    assert found == status
    assert said.out.splitlines()[0] == head
    assert "a against b: 1 cell" in said.out
    assert said.err == ""


def test_json_holds_what_a_build_needs_and_nothing_empty(tmp_path, capsys):
    run = two(tmp_path, shares(85), shares(90))
    status, said = judged(capsys, run, "--fail-below", "-2", "--format", "json", "--on", "ruler")
    found = json.loads(said.out)
    assert set(found) == {"verdict", "status", "first", "second", "fail_below", "confidence", "places"}
    assert (found["verdict"], found["status"], status) == ("undecided", 4, 4)
    (place,) = found["places"]
    assert set(place) == {"on", "verdict", "difference", "p_worse", "p_not_worse", "rows", "rows_needed"}
    assert None not in place.values()
    _, said = judged(capsys, two(tmp_path / "clear", shares(50), shares(90)), "--fail-below", "-2", "--format", "json")
    assert "rows_needed" not in json.loads(said.out)["places"][0]


def test_the_rows_it_asks_for_would_decide(tmp_path, capsys):
    few = two(tmp_path / "few", shares(8, 10), shares(9, 10))
    _, said = judged(capsys, few, "--fail-below", "-2", "--format", "json")
    needed = json.loads(said.out)["places"][0]["rows_needed"]
    decided = 0
    for seed in range(20):
        stream = np.random.default_rng(seed)
        kinds = stream.choice(3, needed, p=[0.05, 0.15, 0.8])  # 10 points apart, as disagreeing as the few rows may be
        first, second = (kinds == 0) * 1.0, (kinds == 1) * 1.0
        run = two(tmp_path / str(seed), list(first), list(second))
        found = gate(read_cells(run), "a", "b", LayoutOptions(), fail_below=-2, on=None, confidence=95)
        decided += found.verdict == "worse"
    assert 0.6 <= decided / 20 <= 1


@pytest.mark.parametrize("disagreement", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("level", [0.05, 0.1])
def test_at_the_margin_either_verdict_is_wrong_at_most_as_often_as_allowed(disagreement, level):
    """Exact: every table of 40 rows with its chance, where the true difference is the margin."""
    rows, margin = 40, -0.05
    tables = [(b, c) for b in range(rows + 1) for c in range(rows + 1 - b)]
    chances = [(disagreement + margin) / 2, (disagreement - margin) / 2, 1 - disagreement]
    weights = multinomial.pmf([(b, c, rows - b - c) for b, c in tables], rows, chances)
    likely = [(PairedShares(rows, b, c), weight) for (b, c), weight in zip(tables, weights, strict=True) if weight > 1e-7]
    assert sum(weight for one, weight in likely if one.less(margin) <= level) <= 1.1 * level
    assert sum(weight for one, weight in likely if one.greater(margin) <= level) <= 1.1 * level


def test_lower_perplexity_is_better_and_a_rise_fails(tmp_path, capsys):
    stream = np.random.default_rng(0)
    losses = stream.normal(300, 10, 30)
    low, high = ([(float(loss + add + stream.normal(0, 2)), 100.0) for loss in losses] for add in (0.0, 20.0))
    change = {"benchmark": "lambada", "task": "lambada_sliding", "metric": "ppl", "rule": PERPLEXITY}
    assert judged(capsys, two(tmp_path / "worse", high, low, **change), "--fail-below", "-1")[0] == 1
    assert judged(capsys, two(tmp_path / "better", low, high, **change), "--fail-below", "-1")[0] == 0
    over = [(90_000.0, 100.0)] * 30
    status, said = judged(capsys, two(tmp_path / "over", over, high, **change), "--fail-below", "-1")
    assert status == 2
    assert "can't be tested" in said.err


def cells(tmp_path):
    made = [
        FakeCell(checkpoint=name, benchmark=benchmark, task=task, length_tokens=length, scores=shares(right))
        for name, right in (("a", 60), ("b", 90))
        for benchmark, task in (("ruler", "vt"), ("ruler", "cwe"), ("babilong", "babilong_qa1"))
        for length in (2048, 4096)
    ]
    for cell in made:
        if cell.benchmark == "babilong" and cell.checkpoint == "a":
            cell.scores = shares(100)
    return write_run(tmp_path / "run", made)


@pytest.mark.parametrize(
    ("on", "status", "places"),
    [
        ("ruler", 1, ["ruler, 2 tasks, mean of 4 cells"]),
        ("ruler@4k", 1, ["ruler, 2 tasks, mean of 2 cells at 4k"]),
        ("vt", 1, ["vt, mean of 2 cells"]),
        ("vt@2k", 1, ["vt at 2k"]),
        ("babilong", 0, ["babilong_qa1, mean of 2 cells"]),
        (None, 1, ["babilong_qa1, mean of 2 cells", "ruler, 2 tasks, mean of 4 cells"]),
    ],
)
def test_the_gate_judges_a_benchmark_a_task_or_a_cell(tmp_path, capsys, on, status, places):
    asked = ["--on", on] if on else []
    found, said = judged(capsys, cells(tmp_path), "--fail-below", "-2", "--format", "json", *asked)
    assert found == status
    assert [place["on"] for place in json.loads(said.out)["places"]] == places


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fail-below", "2"], "--fail-below 2 is not between -100 and 0"),
        (["--fail-below", "-200"], "--fail-below -200 is not between -100 and 0"),
        (["--fail-below", "nan"], "--fail-below nan is not between"),
        (["--fail-below", "-2", "--confidence", "5"], "--confidence 5 is not between 50 and 100 percent"),
        (["--fail-below", "-2", "--on", "rulr"], "unknown benchmark, task or cell 'rulr'; did you mean ruler"),
        (["--fail-below", "-2", "--on", "vt@64k"], "unknown benchmark, task or cell 'vt@64k'"),
        (["--on", "ruler"], "add --fail-below POINTS"),
        (["--fail-below", "-2", "--format", "csv"], "the gate has no format csv"),
    ],
)
def test_a_wrong_gate_is_one_line_and_status_2(tmp_path, capsys, arguments, reason):
    status, said = judged(capsys, cells(tmp_path), *arguments)
    assert status == 2
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_one_row_is_no_verdict(tmp_path, capsys):
    status, said = judged(capsys, two(tmp_path, [1.0], [0.0]), "--fail-below", "-2")
    assert status == 2
    assert "run more with --samples" in said.err
