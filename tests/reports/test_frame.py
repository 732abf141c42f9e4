"""Frames from results folders: known scores in, known values out; damage named, failures counted, runs merged."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from ropepp_eval.errors import UserError
from ropepp_eval.reports.frame import read_results, read_rows
from tests.reports.results_folders import PERPLEXITY, FakeCell, rows_file, write_run


def only(frame):
    assert len(frame) == 1
    return frame.iloc[0]


def test_mean_and_its_standard_error_are_lm_evals(tmp_path):
    scores = [1.0, 0.0, 1.0, 1.0, 0.5]
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=scores)])))
    assert line.value == pytest.approx(0.7)
    assert line.stderr == pytest.approx(np.std(scores, ddof=1) / math.sqrt(5))
    assert (line.rows, line.failed, line.planned, line.scale, line.primary) == (5, 0, 5, 100.0, True)


@pytest.mark.parametrize("name", ["perplexity", "weighted_perplexity", "bits_per_byte"])
def test_aggregations_equal_lm_evals_own(tmp_path, name):
    metrics = pytest.importorskip("lm_eval.api.metrics")
    pairs = [(-30.0, 10.0), (-41.0, 12.0), (-12.5, 8.0)]
    scores = [-1.5, -2.25, -0.5] if name == "perplexity" else pairs
    rule = {"aggregation": name, "higher_is_better": False, "scale": 1.0}
    cell = FakeCell(scores=scores, rule=rule, metric=name)
    assert only(read_results(write_run(tmp_path / "run", [cell]))).value == pytest.approx(getattr(metrics, name)(scores))


def test_bootstrapped_standard_error_agrees_with_lm_evals(tmp_path, monkeypatch, capsys):
    metrics = pytest.importorskip("lm_eval.api.metrics")
    monkeypatch.setitem(os.environ, "DISABLE_MULTIPROC", "1")
    scores = list(np.random.default_rng(3).normal(-2, 0.7, 60))
    rule = {"aggregation": "perplexity", "higher_is_better": False, "scale": 1.0}
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=scores, rule=rule)])))
    assert line.stderr == pytest.approx(metrics.bootstrap_stderr(metrics.perplexity, scores, 2000), rel=0.08)


def test_window_perplexity_is_exp_of_sum_over_weight(tmp_path):
    cell = FakeCell(scores=[(30.0, 10.0), (50.0, 30.0)], rule=PERPLEXITY)
    assert only(read_results(write_run(tmp_path / "run", [cell]))).value == pytest.approx(math.exp(2))


def test_one_row_has_no_standard_error(tmp_path):
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=[1.0])])))
    assert line.value == 1
    assert math.isnan(line.stderr)


def test_failed_rows_are_counted_and_never_averaged(tmp_path):
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=[1.0, None, 1.0, None])])))
    assert (line.value, line.rows, line.failed) == (1.0, 2, 2)


def test_all_rows_failed_gives_a_missing_value_and_the_count(tmp_path):
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=[None, None])])))
    assert math.isnan(line.value)
    assert (line.rows, line.failed) == (0, 2)


def test_a_planned_cell_without_rows_is_missing_not_zero(tmp_path):
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=[], planned=10)])))
    assert math.isnan(line.value)
    assert (line.rows, line.planned) == (0, 10)


def test_scores_that_are_not_finite_are_left_out_and_counted(tmp_path):
    line = only(read_results(write_run(tmp_path / "run", [FakeCell(scores=[1.0, math.nan, math.inf])])))
    assert (line.value, line.rows, line.not_finite) == (1.0, 1, 2)


def test_a_perplexity_over_the_largest_float_is_missing(tmp_path):
    cell = FakeCell(scores=[(1e6, 1.0), (1e6, 1.0)], rule=PERPLEXITY)
    assert math.isnan(only(read_results(write_run(tmp_path / "run", [cell]))).value)


def test_a_last_line_cut_by_a_crash_is_ignored_at_every_byte(tmp_path):
    cell = FakeCell(scores=[1.0, 0.0])
    folder = write_run(tmp_path / "run", [cell])
    content = rows_file(folder, cell).read_bytes()
    first = content.index(b"\n") + 1
    for end in range(first, len(content) - 1, 37):
        rows_file(folder, cell).write_bytes(content[:end])
        frame = read_results(folder)
        assert (only(frame).rows, only(frame).damaged, frame.attrs["damage"]) == (1, 0, [])


@pytest.mark.parametrize("broken", [b"{not json}\n", b"\xff\xfe\x00\n", b"[1]\n", b'{"row": 1}\n', b"\n"])
def test_damage_inside_a_file_is_named_and_the_rest_goes_on(tmp_path, broken):
    cell = FakeCell(scores=[1.0, 0.0])
    folder = write_run(tmp_path / "run", [cell])
    lines = rows_file(folder, cell).read_bytes().splitlines(keepends=True)
    rows_file(folder, cell).write_bytes(lines[0] + broken + lines[1])
    frame = read_results(folder)
    assert only(frame).rows == 2
    if broken.strip():
        assert only(frame).damaged == 1
        assert "niah_single_1@4096.jsonl, line 2" in frame.attrs["damage"][0]
    else:
        assert only(frame).damaged == 0


@pytest.mark.parametrize(
    "change",
    [
        {"scores": "1.0"},
        {"scores": {"score": "high"}},
        {"scores": {"score": [1.0, 2.0, 3.0]}},
        {"row": "first"},
        {"length_tokens": -1},
        {"task": None},
        {"error": "failed"},
        {"format": 2},
    ],
)
def test_a_row_of_the_wrong_kind_is_damage(tmp_path, change):
    cell = FakeCell(scores=[1.0])
    folder = write_run(tmp_path / "run", [cell])
    with rows_file(folder, cell).open("a") as file:
        file.write(json.dumps({**cell.line(0), **change}) + "\n")
    frame = read_results(folder)
    assert (only(frame).rows, only(frame).damaged, len(frame.attrs["damage"])) == (1, 1, 1)


@pytest.mark.parametrize("change", [{"cells": [{}]}, {"cells": 3}, {"tasks": None}, {"format": 9}])
def test_a_manifest_of_the_wrong_kind_is_refused_alone(tmp_path, change):
    folder = write_run(tmp_path / "run", [FakeCell()])
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(UserError, match=r"no run could be read: run/run\.json"):
        read_results(folder)


def test_a_task_without_its_aggregation_is_refused_by_name(tmp_path):
    folder = write_run(tmp_path / "run", [FakeCell()])
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "tasks": {}}))
    with pytest.raises(UserError, match="does not say how task niah_single_1 is aggregated"):
        read_results(folder)


@settings(max_examples=25, deadline=None)
@given(
    scores=strategies.lists(strategies.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=8),
    parts=strategies.lists(strategies.sets(strategies.integers(0, 7)), min_size=1, max_size=3),
)
def test_any_division_of_the_rows_over_runs_merges_to_the_same_results(tmp_path_factory, scores, parts):
    folder = tmp_path_factory.mktemp("divided")
    cell = FakeCell(scores=scores)
    whole = write_run(folder / "whole", [cell])
    everywhere = [*parts, set(range(len(scores))).difference(*parts)]
    for number, part in enumerate(everywhere):
        path = rows_file(write_run(folder / "parts" / str(number), [cell]), cell)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for row, line in enumerate(lines) if row in part))
    columns = ["value", "stderr", "rows", "failed", "planned"]
    assert read_results(whole)[columns].equals(read_results(folder / "parts")[columns])


def test_a_damaged_manifest_is_named_and_the_other_runs_go_on(tmp_path):
    good = write_run(tmp_path / "good", [FakeCell()])
    bad = write_run(tmp_path / "bad", [FakeCell(checkpoint="other")])
    (bad / "run.json").write_text("{")
    frame = read_results(good, bad)
    assert list(frame.checkpoint) == ["rope"]
    assert frame.attrs["damage"][0].startswith("bad/run.json: not readable")
    with pytest.raises(UserError, match="no run could be read"):
        read_results(bad)


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        read_rows(tmp_path)
    with pytest.raises(UserError, match="is not there"):
        read_rows(tmp_path / "nowhere")


def test_a_folder_of_run_folders_is_all_of_them(tmp_path):
    write_run(tmp_path / "a", [FakeCell()])
    write_run(tmp_path / "b", [FakeCell(checkpoint="other")])
    assert set(read_results(tmp_path).checkpoint) == {"rope", "other"}
    assert len(read_results(tmp_path, tmp_path / "a")) == 2


def test_the_same_row_twice_counts_once(tmp_path):
    cell = FakeCell(scores=[1.0, 0.0])
    folder = write_run(tmp_path / "run", [cell])
    path = rows_file(folder, cell)
    path.write_bytes(path.read_bytes() * 2)
    assert (only(read_results(folder)).rows, len(read_rows(folder))) == (2, 2)


def test_a_failed_row_done_again_counts_as_done(tmp_path):
    cell = FakeCell(scores=[None])
    folder = write_run(tmp_path / "run", [cell])
    again = FakeCell(scores=[1.0]).line(0)
    with rows_file(folder, cell).open("a") as file:
        file.write(json.dumps(again) + "\n")
    line = only(read_results(folder))
    assert (line.value, line.failed) == (1.0, 0)


def test_equal_cells_of_two_runs_merge_and_differing_ones_are_refused(tmp_path):
    first = write_run(tmp_path / "first", [FakeCell(scores=[1.0, 0.0])], created="2026-01-01")
    longer = write_run(tmp_path / "longer", [FakeCell(scores=[1.0, 0.0, 1.0])], created="2026-01-02")
    other = write_run(tmp_path / "other", [FakeCell(scores=[0.0, 0.0])], created="2026-01-03", dtype="bfloat16")
    assert only(read_results(first, longer)).rows == 3
    with pytest.raises(UserError, match=r"disagree on row 0 \(dtype float32 and bfloat16\).*--latest"):
        read_results(first, other)
    assert only(read_results(other, first, latest=True)).value == 0.0


def test_runs_of_different_seeds_are_refused_by_name(tmp_path):
    first = write_run(tmp_path / "first", [FakeCell(seed=1)])
    second = write_run(tmp_path / "second", [FakeCell(seed=2)])
    with pytest.raises(UserError, match="seeds 1 and 2"):
        read_results(first, second)


def test_rows_in_any_order_on_disk_give_the_same_frame(tmp_path):
    cell = FakeCell(scores=list(np.random.default_rng(0).random(50)))
    folder = write_run(tmp_path / "run", [cell])
    before = read_results(folder)
    lines = rows_file(folder, cell).read_bytes().splitlines(keepends=True)
    rows_file(folder, cell).write_bytes(b"".join(reversed(lines)))
    assert before.equals(read_results(folder))


def test_the_reports_import_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import importlib, pkgutil, sys, ropepp_eval.reports as r\n"
        "for m in pkgutil.iter_modules(r.__path__): importlib.import_module('ropepp_eval.reports.' + m.name)\n"
        "assert not {'torch', 'transformers', 'lm_eval'} & set(sys.modules)\n"
        "assert not {'pandas', 'matplotlib', 'statsmodels'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
