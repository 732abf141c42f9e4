"""Marks, intervals and paired comparisons of checkpoints: told only where the rows allow it, refused with the reason."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from ropepp_eval.cli import compare as compare_command
from ropepp_eval.cli import table as table_command
from ropepp_eval.errors import UserError
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, write_run


def compare(capsys, *arguments) -> list[dict[str, str]]:
    out = printed(compare_command, capsys, *arguments, "--format", "csv")
    return list(csv.DictReader(io.StringIO(out)))


def shares(*numbers: int, rows: int = 40) -> list[list[float]]:
    """0/1 scores with the given numbers of right rows, right ones first."""
    return [[1.0] * number + [0.0] * (rows - number) for number in numbers]


def test_a_clear_difference_is_told_with_its_interval(tmp_path, capsys):
    first, second = shares(36, 10)
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="a", scores=first), FakeCell(checkpoint="b", scores=second)])
    line = compare(capsys, "a", "b", run)[0]
    assert line["finding"] == "a better"
    assert (line["a"], line["b"], line["difference"], line["rows"]) == ("90", "25", "65", "40")
    assert 0 < float(line["low"]) < 65 < float(line["high"])
    assert line["test"] == "score, exact"
    assert 0 < float(line["p"]) < 1e-7
    assert "<0.0001" in printed(compare_command, capsys, "a", "b", run)  # no p-value is 0


def test_a_small_difference_is_tied_in_words(tmp_path, capsys):
    first, second = shares(20, 17)
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="a", scores=first), FakeCell(checkpoint="b", scores=second)])
    assert compare(capsys, "a", "b", run)[0]["finding"] == "tied"
    assert "tied" in printed(compare_command, capsys, "a", "b", run)


def test_lower_perplexity_is_better(tmp_path, capsys):
    stream = np.random.default_rng(0)
    losses = stream.normal(300, 10, 30)
    pairs = [[(float(loss + add), 100.0) for loss in losses] for add in (0.0, 20.0)]
    cells = [
        FakeCell(checkpoint=name, benchmark="lambada", task="lambada_sliding", metric="ppl", rule=PERPLEXITY, scores=scores)
        for name, scores in zip("ab", pairs, strict=True)
    ]
    cells[1].scores = [(loss + noise, 100.0) for (loss, _), noise in zip(pairs[1], stream.normal(0, 3, 30), strict=True)]
    line = compare(capsys, "a", "b", write_run(tmp_path / "run", cells))[0]
    assert float(line["difference"]) < 0
    assert line["finding"] == "a better"


def test_only_common_rows_are_paired_and_their_number_is_shown(tmp_path, capsys):
    first, second = shares(30, 10)
    second = second[:25]
    first[0] = None
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="a", scores=first), FakeCell(checkpoint="b", scores=second)])
    line = compare(capsys, "a", "b", run)[0]
    assert (line["rows"], line["unpaired"]) == ("24", "16")
    assert float(line["a"]) == 100.0  # over the common rows, not over all


def test_averages_over_tasks_and_lengths_are_tested_too(tmp_path, capsys):
    stream = np.random.default_rng(1)
    cells = [
        FakeCell(
            checkpoint=name, task=f"niah_single_{task}", length_tokens=length, scores=list((stream.random(40) < share) * 1.0)
        )
        for name, share in (("a", 0.9), ("b", 0.5))
        for task in (1, 2)
        for length in (2048, 4096)
    ]
    lines = compare(capsys, "a", "b", write_run(tmp_path / "run", cells))
    assert [line["what"] for line in lines[:3]] == [
        "ruler, mean of 2 tasks",
        "ruler, mean of 2 tasks",
        "ruler, mean of 4 cells",
    ]
    assert lines[2]["length"] == "all"
    assert lines[2]["finding"] == "a better"
    assert float(lines[2]["difference"]) == pytest.approx(sum(float(line["difference"]) for line in lines[3:]) / 4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 7}, "seeds 42 and 7"),
        ({"tokenizer": "other"}, "tokenizers"),
        ({"protocol": "paper"}, "protocols reference and paper"),
        ({"task": "vt"}, "tasks niah_single_1 and vt"),
        ({"length_tokens": 2048}, "lengths 4096 and 2048"),
        ({"scores": [None] * 4}, "every common row failed"),
    ],
)
def test_what_can_not_be_paired_is_refused_with_the_difference(tmp_path, capsys, change, reason):
    one = write_run(tmp_path / "one", [FakeCell(checkpoint="a")])
    other = write_run(tmp_path / "other", [FakeCell(checkpoint="b", **change)])
    with pytest.raises(UserError, match=reason):
        compare(capsys, "a", "b", one, other)


def test_cells_that_only_one_checkpoint_has_are_named(tmp_path, capsys):
    cells = [FakeCell(checkpoint="a"), FakeCell(checkpoint="b"), FakeCell(checkpoint="b", length_tokens=8192)]
    out = printed(compare_command, capsys, "a", "b", write_run(tmp_path / "run", cells))
    assert "only one of the two has: niah_single_1 at 8k (reference)" in out


def test_wrong_names_are_refused_with_near_ones(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="ropepp_ec"), FakeCell(checkpoint="rope")])
    with pytest.raises(UserError, match="unknown checkpoint 'ropepp_ce'; did you mean ropepp_ec"):
        compare(capsys, "ropepp_ce", "rope", run)
    with pytest.raises(UserError, match="can't be compared with itself"):
        compare(capsys, "rope", "rope", run)


def test_one_row_is_not_tested(tmp_path, capsys):
    cells = [FakeCell(checkpoint="a", scores=[1.0]), FakeCell(checkpoint="b", scores=[0.0])]
    line = compare(capsys, "a", "b", write_run(tmp_path / "run", cells))[0]
    assert (line["finding"], line["p"], line["low"]) == ("not tested (one row)", "", "")


def test_rows_of_one_document_are_not_counted_as_independent(tmp_path, capsys):
    stories = [f"story-{i // 10}" for i in range(40)]
    first, second = [1.0] * 30 + [0.0] * 10, [0.0] * 40
    cells = [FakeCell(checkpoint="a", scores=first), FakeCell(checkpoint="b", scores=second)]
    independent = compare(capsys, "a", "b", write_run(tmp_path / "independent", cells))[0]
    for cell in cells:
        cell.clusters = stories
    clustered = compare(capsys, "a", "b", write_run(tmp_path / "clustered", cells))[0]
    assert independent["finding"] == "a better"
    assert (clustered["test"], clustered["finding"]) == ("bootstrap", "tied")  # four stories can't show it


def test_documents_stand_beside_rows_where_rows_share_them_and_only_there(tmp_path, capsys):
    cells = [FakeCell(checkpoint=name, scores=shares(number, rows=20)[0]) for name, number in (("a", 15), ("b", 10))]
    assert "documents" not in compare(capsys, "a", "b", write_run(tmp_path / "alone", cells))[0]
    for cell in cells:
        cell.clusters = [f"story-{i // 5}" for i in range(20)]
    run = write_run(tmp_path / "shared", cells)
    line = compare(capsys, "a", "b", run)[0]
    assert (line["rows"], line["documents"]) == ("20", "4")
    assert "niah_single_1 can't tell: its 20 rows come from 4 documents" in printed(compare_command, capsys, "a", "b", run)


@pytest.mark.parametrize("layout", ["lengths", "tasks"])
def test_a_table_shows_documents_beside_n_where_rows_share_them(tmp_path, capsys, layout):
    stories = [f"story-{i // 5}" for i in range(20)]
    cells = [
        FakeCell(
            checkpoint=name, benchmark=benchmark, task=benchmark, length_tokens=length, scores=[1.0] * 20, clusters=clusters
        )
        for name in "ab"
        for benchmark, clusters in (("babilong", stories), ("ruler", ()))
        for length in (2048, 4096)
    ]
    run = write_run(tmp_path / "run", cells)
    sections = json.loads(printed(table_command, capsys, run, "--layout", layout, "--format", "json"))["sections"]
    for section in sections:
        shared = section["benchmark"] == "babilong"
        assert ("documents" in section["columns"]) == shared
        for line in section["lines"]:
            assert not shared or line["entries"]["documents"]["value"] == 4  # the same four at either length
    assert "documents: sources behind the rows" in printed(table_command, capsys, run)
    alone = write_run(tmp_path / "alone", [cell for cell in cells if cell.benchmark == "ruler"])
    assert "documents" not in printed(table_command, capsys, alone)


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_a_perplexity_too_large_for_a_float_is_empty_and_said(tmp_path, capsys, which):
    cells = [
        FakeCell(
            checkpoint=name, benchmark="lambada", task="lambada_sliding", metric="ppl", rule=PERPLEXITY,
            scores=[(90_000.0 if which in (side, "both") else 300.0, 100.0)] * 4,
        )
        for name, side in (("a", "first"), ("b", "second"))
    ]  # fmt: skip
    line = compare(capsys, "a", "b", write_run(tmp_path / "run", cells))[0]
    assert line["finding"] == "not tested (too large)"
    assert [line["a"] == "", line["b"] == ""] == [which in ("first", "both"), which in ("second", "both")]
    assert [line[name] for name in ("difference", "low", "high", "p")] == [""] * 4


def test_three_graded_rows_are_no_evidence_whatever_a_float_makes_of_them(tmp_path, capsys):
    cells = [FakeCell(checkpoint=name, scores=[score] * 3) for name, score in (("a", 0.8), ("b", 0.6))]
    line = compare(capsys, "a", "b", write_run(tmp_path / "run", cells))[0]
    assert (line["p"], line["finding"]) == ("0.25", "tied")


def marks(capsys, *arguments) -> dict[tuple[str, str], str | None]:
    sections = json.loads(printed(table_command, capsys, *arguments, "--format", "json"))["sections"]
    return {
        (line["checkpoint"], column): entry["mark"]
        for section in sections
        for line in section["lines"]
        for column, entry in line["entries"].items()
    }


def three(tmp_path, *numbers: int):
    cells = [FakeCell(checkpoint=name, scores=scores) for name, scores in zip("abc", shares(*numbers), strict=True)]
    return write_run(tmp_path / "run", cells)


def test_best_and_second_are_marked_and_counts_never(tmp_path, capsys):
    found = marks(capsys, three(tmp_path, 30, 10, 20))
    assert [found[name, "4k"] for name in "abc"] == ["best", None, "second"]
    assert [found[name, "n"] for name in "abc"] == [None, None, None]


def test_equal_values_are_all_best_and_have_no_second(tmp_path, capsys):
    assert [marks(capsys, three(tmp_path, 30, 30, 20))[name, "4k"] for name in "abc"] == ["best", "best", None]


def test_all_equal_values_have_no_mark(tmp_path, capsys):
    assert set(marks(capsys, three(tmp_path, 30, 30, 30)).values()) == {None}


def test_marks_stay_only_where_the_difference_is_significant(tmp_path, capsys):
    near = three(tmp_path / "near", 30, 10, 28)
    far = three(tmp_path / "far", 39, 10, 20)
    assert [marks(capsys, near, "--significant")[name, "4k"] for name in "abc"] == [None, None, None]
    assert [marks(capsys, far, "--significant")[name, "4k"] for name in "abc"] == ["best", None, "second"]
    assert "Holm over 2 tests" in printed(table_command, capsys, far, "--significant")


def test_significance_over_different_seeds_is_refused(tmp_path, capsys):
    one = write_run(tmp_path / "one", [FakeCell(checkpoint="a", scores=[1.0] * 4)])
    other = write_run(tmp_path / "other", [FakeCell(checkpoint="b", seed=1)])
    with pytest.raises(UserError, match=r"seeds (1 and 42|42 and 1)"):
        printed(table_command, capsys, one, other, "--significant")


@pytest.mark.parametrize(
    ("change", "said"), [({"seed": 7}, "seeds 42 and 7"), ({"tokenizer": "other"}, "tokenizers"), ({}, None)]
)
def test_a_table_says_where_checkpoints_answered_other_rows(tmp_path, capsys, change, said):
    one = write_run(tmp_path / "one", [FakeCell(checkpoint="a")])
    other = write_run(tmp_path / "other", [FakeCell(checkpoint="b", **change)])
    out = printed(table_command, capsys, one, other)
    assert ("not the same rows for all checkpoints" in out) == (said is not None)
    assert said is None or f"not a like-for-like comparison: {said}" in out


def test_intervals_and_counts_are_shown_on_demand(tmp_path, capsys):
    scores = [*shares(20)[0], None]
    run = write_run(tmp_path / "run", [FakeCell(scores=scores)])
    out = printed(table_command, capsys, run, "--ci", "--counts", "rows,failed,cut,fill")
    assert "50.0 (35.2 to 64.8; n 40; failed 1; cut 0; fill 97.6 %)" in out
    line = next(
        csv.DictReader(io.StringIO(printed(table_command, capsys, run, "--ci", "--counts", "rows", "--format", "csv")))
    )
    assert (line["4k rows"], line["4k low"][:4]) == ("40", "35.1")


def test_the_tasks_layout_has_tasks_as_columns(tmp_path, capsys):
    cells = [FakeCell(task=task, length_tokens=length) for task in ("qa_10", "qa_2") for length in (2048, 4096)]
    sections = json.loads(
        printed(table_command, capsys, write_run(tmp_path / "run", cells), "--layout", "tasks", "--format", "json")
    )["sections"]
    assert [section["columns"] for section in sections] == [["qa_2", "qa_10", "average", "n"]] * 2
    assert [section["length"] for section in sections] == ["2k", "4k"]


def test_the_depth_layout_sorts_rows_into_tenths(tmp_path, capsys):
    cell = FakeCell(scores=[1.0, 0.0, 1.0, 1.0], depths=[0.0, 5.0, 55.0, 100.0])
    out = printed(table_command, capsys, write_run(tmp_path / "run", [cell]), "--layout", "depth", "--format", "csv")
    line = next(csv.DictReader(io.StringIO(out)))
    assert (line["0-10 %"], line["50-60 %"], line["90-100 %"], line["10-20 %"], line["n"]) == ("50", "100", "100", "", "4")


def test_the_depth_layout_needs_depths(tmp_path, capsys):
    with pytest.raises(UserError, match="no row asks for one fact at a known depth"):
        printed(table_command, capsys, write_run(tmp_path / "run", [FakeCell()]), "--layout", "depth")


def test_two_checkpoints_of_one_name_get_labels_that_tell_them_apart(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(position="rope"), FakeCell(position="nope")])
    out = printed(table_command, capsys, run)
    assert "rope (rope)" in out
    assert "rope (nope)" in out


def test_a_compared_mean_names_its_tasks_and_its_lengths_where_they_differ(tmp_path, capsys):
    first, second = shares(36, 10)
    cells = [
        FakeCell(checkpoint=name, task=task, length_tokens=length, scores=scores)
        for name, scores in (("a", first), ("b", second))
        for task, length in (("vt", 1024), ("cwe", 1024), ("vt", 2048), ("fwe", 2048), ("vt", 4096), ("fwe", 4096))
    ]
    said = printed(compare_command, capsys, "a", "b", write_run(tmp_path / "run", cells))
    assert "ruler, mean of 2 tasks at 1k: cwe, vt" in said
    assert "ruler, mean of 2 tasks at 2k, 4k: fwe, vt" in said
    assert "ruler, mean of 6 cells: cwe, fwe, vt" in said
