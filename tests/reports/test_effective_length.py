"""Effective context length: the estimate by the scores seen, the interval as often right as it says, refusals."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from ropepp_eval import read_effective_lengths
from ropepp_eval.cli import main
from ropepp_eval.cli import table as table_command
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.effective_length import Fall, Limits, Sample, below_other, below_threshold, effective_lengths, held
from ropepp_eval.reports.layouts import LayoutOptions
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, write_run

LENGTHS = (2048, 4096, 8192, 16384, 32768)
STORIES = [f"story-{i}" for i in range(60)]


def ladder(name: str, *rights: int, rows: int = 60, paired: bool = False, **change: object) -> list[FakeCell]:
    """One task with so many right rows at each length; `paired`: row i asks the same story at every length."""
    kind = {"benchmark": "babilong", "task": "babilong_qa1", "clusters": STORIES[:rows]} if paired else {}
    return [
        FakeCell(checkpoint=name, length_tokens=length, scores=[1.0] * right + [0.0] * (rows - right), **{**kind, **change})
        for length, right in zip(LENGTHS, rights, strict=False)
    ]


def lines(tmp_path, capsys, *cells: FakeCell, options: tuple[str, ...] = ()) -> list[dict[str, str]]:
    run = write_run(tmp_path / "run", list(cells))
    return list(
        csv.DictReader(
            io.StringIO(printed(table_command, capsys, run, "--layout", "effective", "--format", "csv", *options))
        )
    )


@pytest.mark.parametrize(
    ("rights", "threshold", "margin"),
    [
        ((60, 60, 60, 20, 0), "8k (4k to 8k)", "8k"),
        ((60, 60, 60, 60, 60), "32k or more (16k to 32k or more)", "32k or more"),
        ((30, 30, 30, 5, 0), "none", "8k (2k to 8k)"),
        ((60, 20, 60, 60, 60), "2k", "2k"),  # a fall is a fall, whatever comes later
        ((60, 51, 60, 0, 0), "2k (none to 8k)", "2k (2k to 8k)"),
        ((0, 0, 0, 0, 0), "none", "none"),  # nothing to lose is not holding
        ((6, 6, 6, 6, 6), "none", "none"),
    ],
)
def test_a_checkpoint_holds_to_the_last_length_before_a_fall(tmp_path, capsys, rights, threshold, margin):
    (found,) = lines(tmp_path, capsys, *ladder("a", *rights))
    words = [found[name] for name in found if name.startswith("holds to")]
    assert words[0].split(" (")[0] == threshold.split(" (")[0]
    assert words[1].split(" (")[0] == margin.split(" (")[0]


def test_more_rows_narrow_the_interval(tmp_path):
    widths = []
    for rows in (10, 40, 400):
        cells = ladder("a", *(round(rows * share) for share in (1, 0.95, 0.7, 0.3, 0)), rows=rows)
        found = effective_lengths(read_cells(write_run(tmp_path / str(rows), cells)), LayoutOptions(), Limits())
        widths.append([one.most - one.fewest for one in found])
        assert [one.holds for one in found] == [2, 2]
    assert widths[0] >= widths[1] >= widths[2] == [0, 0]


def test_the_score_of_a_benchmark_is_the_mean_over_the_tasks_that_all_checkpoints_have(tmp_path, capsys):
    cells = [
        *ladder("a", 60, 60, task="vt"), *ladder("a", 60, 30, task="cwe"), *ladder("a", 60, task="fwe"),
        *ladder("b", 60, 60, task="vt"), *ladder("b", 60, 60, task="cwe"), *ladder("b", 60, 0, task="fwe"),
    ]  # fmt: skip
    run = write_run(tmp_path / "run", cells)
    (section,) = json.loads(printed(table_command, capsys, run, "--layout", "effective", "--format", "json"))["sections"]
    assert section["notes"] == ["mean of cwe, vt", "left out, not run at every length by every checkpoint: fwe"]
    entries = [line["entries"]["holds to, at 85.6 %"] for line in section["lines"]]
    assert [(entry["value"], entry["text"].split(" (")[0]) for entry in entries] == [(2048, "2k"), (4096, "4k or more")]


def test_paired_lengths_are_tested_in_pairs(tmp_path):
    """The same 8 of 60 rows are wrong at the first length and 12 more at the second: pairs see that, two samples don't."""
    rights = (52, 40)
    paired = write_run(tmp_path / "paired", ladder("a", *rights, paired=True))
    single = write_run(tmp_path / "single", ladder("a", *rights))
    limits = Limits(margin=8)
    found = [effective_lengths(read_cells(run), LayoutOptions(), limits)[1] for run in (paired, single)]
    assert [(one.holds, one.fewest, one.most) for one in found] == [(1, 1, 1), (1, 1, 2)]


def test_graded_and_clustered_scores_have_an_effective_length_too(tmp_path):
    graded = ladder("a", 0, 0)
    graded[0].scores, graded[1].scores = [0.9, 1.0, 0.95] * 20, [0.2, 0.3, 0.1] * 20
    clustered = ladder("b", 60, 20, clusters=[f"document-{i // 6}" for i in range(60)])
    clustered[1].scores = list(np.random.default_rng(1).permutation(clustered[1].scores))
    for number, cells in enumerate((graded, clustered)):
        found = effective_lengths(read_cells(write_run(tmp_path / str(number), cells)), LayoutOptions(), Limits())
        assert [one.holds for one in found] == [1, 1]
        assert all(one.most == 1 for one in found)


def test_the_test_of_a_threshold_is_the_exact_binomial_one():
    for right in (0, 3, 12, 15):
        fall = below_threshold(Sample(right / 15, 15), 0.7)
        assert fall.above == pytest.approx(binomtest(right, 15, 0.7, "greater").pvalue)
        assert fall.below == pytest.approx(binomtest(right, 15, 0.7, "less").pvalue)
        assert fall.fallen == (right < 10.5)


@pytest.mark.parametrize("counts", [(3, 9), (0, 0), (15, 20), (0, 20), (9, 12), (14, 20)])
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_the_test_of_two_samples_is_that_of_a_search_for_the_likeliest_shares(counts, margin):
    def loss(share: float) -> float:
        shares = ((counts[0], 15, share - margin), (counts[1], 20, share))
        return -sum(k * np.log(max(p, 1e-300)) + (n - k) * np.log(max(1 - p, 1e-300)) for k, n, p in shares)

    q = minimize_scalar(loss, bounds=(margin, 1), method="bounded", options={"xatol": 1e-12}).x
    variance = (q * (1 - q) / 20 + (q - margin) * (1 - q + margin) / 15) * 35 / 34
    fall = below_other(Sample(counts[0] / 15, 15), Sample(counts[1] / 20, 20), margin)
    away = counts[0] / 15 - counts[1] / 20 + margin
    assert fall.above == pytest.approx(norm.sf(away / np.sqrt(variance)) if abs(away) > 1e-9 else 0.5, abs=2e-5)
    assert fall.above + fall.below == pytest.approx(1)


def test_the_interval_always_holds_the_estimate():
    stream = np.random.default_rng(0)
    for _ in range(500):
        rights = stream.integers(0, 16, 5)
        holds, fewest, most = held([below_threshold(Sample(right / 15, 15), 0.6) for right in rights])
        assert 0 <= fewest <= holds <= most <= 5
    assert held([Fall(0.0, 1.0, fallen=False)]) == (1, 1, 1)


@pytest.mark.parametrize("rows", [10, 30, 100])
@pytest.mark.parametrize(
    "shares", [(0.98, 0.95, 0.84, 0.5, 0.1), (0.95, 0.88, 0.88, 0.86, 0.85), (0.9, 0.8, 0.95, 0.95, 0.1)]
)
def test_the_interval_covers_the_true_length_as_often_as_it_says(rows, shares):
    stream = np.random.default_rng(rows)
    true = next(i for i, share in enumerate(shares) if share < 0.856)
    close = next((i for i, share in enumerate(shares) if share < shares[0] - 0.1), 5)
    covered = np.zeros(2)
    for _ in range(400):
        samples = [Sample(right / rows, rows) for right in stream.binomial(rows, shares)]
        _, fewest, most = held([below_threshold(sample, 0.856) for sample in samples])
        falls = [Fall(0.0, 1.0, fallen=False), *(below_other(sample, samples[0], 0.1) for sample in samples[1:])]
        _, low, high = held(falls)
        covered += (fewest <= true <= most, low <= close <= high)
    assert (covered / 400).min() >= 0.94 - 0.012  # a standard deviation of 400 draws


def test_the_frame_says_what_the_table_says(tmp_path, capsys):
    cells = [*ladder("a", 60, 60, 20), *ladder("b", 60, 60, 60)]
    frame = read_effective_lengths(write_run(tmp_path / "run", cells), margin=5)
    assert list(frame.holds_to) == [4096, 4096, 8192, 8192]
    assert list(frame.rule) == ["threshold", "margin"] * 2
    assert list(frame.limit) == [85.6, 5.0] * 2
    assert (frame.low <= frame.holds_to).all()
    assert (frame.holds_to <= frame.high).all()
    assert set(frame.longest) == {8192}
    found = lines(tmp_path / "again", capsys, *cells, options=("--margin", "5"))
    assert [line["holds to, within 5 points of its shortest"] for line in found] == list(
        frame.in_words[frame.rule == "margin"]
    )


def test_a_table_ends_with_it(tmp_path, capsys):
    out = printed(table_command, capsys, write_run(tmp_path / "run", [*ladder("a", 60, 60, 0), *ladder("b", 60, 60, 60)]))
    assert "effective length on niah_single_1, within 10 points of the score at the shortest: a 4k; b 8k or more" in out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--threshold", "101"], "--threshold 101 is not between 0 and 100"),
        (["--threshold", "nan"], "--threshold nan is not between"),
        (["--margin", "-10"], "--margin -10 is not between 0 and 100"),
    ],
)
def test_limits_out_of_range_are_one_line_and_status_2(tmp_path, capsys, options, reason):
    run = write_run(tmp_path / "run", ladder("a", 60, 50))
    assert main(["table", str(run), "--layout", "effective", *options]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert main(["table", str(run), *options]) == 2
    assert "they are of --layout effective" in capsys.readouterr().err


def test_one_length_or_a_perplexity_has_none_and_is_said(tmp_path, capsys):
    one = ladder("a", 60, benchmark="babilong", task="babilong_qa1")
    ppl = [
        FakeCell(
            benchmark="lambada",
            task="lambada_sliding",
            metric="ppl",
            rule=PERPLEXITY,
            length_tokens=length,
            scores=[(300.0, 100.0)] * 3,
        )
        for length in LENGTHS[:2]
    ]
    alone = write_run(tmp_path / "alone", [*one, *ppl])
    assert main(["table", str(alone), "--layout", "effective"]) == 2
    assert "no benchmark of these runs was asked at two or more lengths" in capsys.readouterr().err
    both = write_run(tmp_path / "both", [*one, *ppl, *ladder("a", 60, 50)])
    out = printed(table_command, capsys, both, "--layout", "effective")
    assert "without an effective length (one length, or no score in percent): babilong, lambada" in out
