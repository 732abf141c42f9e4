"""First minus second: test and interval come from one distribution, in every kind of score; noise is never evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.differences import PairedScores, difference_of, paired_difference
from ropepp_eval.reports.evidence import BootstrapDifference, StudentDifference, studentised_draws
from ropepp_eval.reports.paired_shares import PairedShares


def alone(scores):
    return list(range(len(scores)))


def cell(stream, task, rows, shares, weight=1.0, cluster=1):
    """0/1 scores of two checkpoints; `cluster` rows share a document."""
    hardness = np.repeat(stream.random(-(-rows // cluster)), cluster)[:rows]
    first, second = ((0.5 * hardness + 0.5 * stream.random(rows) < share).astype(float) for share in shares)
    clusters = [(task, row // cluster) for row in range(rows)]
    return PairedScores.of("mean", list(first), list(second), clusters, weight)


def kinds(stream):
    """One difference of every kind."""
    first = stream.random(25)
    graded = paired_difference("mean", list(first), list(np.clip(first - stream.normal(0.05, 0.2, 25), 0, 1)), alone(first))
    losses = [(float(loss), 50.0) for loss in stream.normal(150, 20, 25)]
    others = [(loss + float(stream.normal(3, 5)), 50.0) for loss, _ in losses]
    return {
        "shares": difference_of([cell(stream, "a", 25, (0.7, 0.5))]),
        "average": difference_of([cell(stream, task, 15, (0.7, 0.55), 50.0) for task in "ab"]),
        "clustered": difference_of([cell(stream, "a", 40, (0.7, 0.5), cluster=4)]),
        "graded": graded,
        "perplexity": paired_difference("window_perplexity", losses, others, alone(losses)),
    }


def test_each_kind_of_score_has_its_evidence():
    found = kinds(np.random.default_rng(0))
    expected = {"shares": PairedShares, "average": StudentDifference}
    for kind, difference in found.items():
        assert type(difference.evidence) is expected.get(kind, BootstrapDifference), kind


def test_interval_and_p_value_never_disagree_at_any_level():
    stream = np.random.default_rng(1)
    for _ in range(40):
        for kind, found in kinds(stream).items():
            for level in (0.01, 0.05, 0.1, 0.2):
                low, high = found.interval_at(level)
                assert (low > 0 or high < 0) == (found.p_value <= level), kind
                assert low <= found.value <= high, kind


def test_one_sided_tests_agree_with_each_other_and_with_the_two_sided_one():
    stream = np.random.default_rng(2)
    for _ in range(20):
        for kind, found in kinds(stream).items():
            asked = [found.value - 2 * found.error, found.value, found.value + 2 * found.error]
            greater, less = [found.greater(one) for one in asked], [found.less(one) for one in asked]
            assert greater[0] < 0.2 < greater[1] < greater[2], kind
            assert less[2] < 0.2 < less[1] < less[0], kind
            both = [high + low for high, low in zip(greater, less, strict=True)]
            assert all(0.99 < one < 1.35 for one in both), kind  # over 1 by the tables that are as far off


@pytest.mark.parametrize("rows", [3, 8, 10])
@pytest.mark.parametrize("pair", [(0.8, 0.6), (0.75, 0.5), (0.3, 0.1)])
def test_rows_that_all_differ_alike_are_so_many_signs_however_a_float_holds_them(rows, pair):
    found = paired_difference("mean", [pair[0]] * rows, [pair[1]] * rows, alone(range(rows)))
    assert found.p_value == pytest.approx(stats.binomtest(rows, rows).pvalue)
    assert found.interval is None
    assert found.value == pytest.approx(pair[0] - pair[1])


@pytest.mark.parametrize("aggregation", ["mean", "perplexity", "bits_per_byte"])
def test_equal_scores_in_another_order_of_summing_are_equal(aggregation):
    first = [0.1 + 0.2, 0.7, 0.1] * 4
    second = [0.3, 0.7, 0.1] * 4
    found = paired_difference(aggregation, first, second, alone(first))
    assert (found.value, found.p_value, found.interval) == (0.0, 1.0, None)


def test_averages_whose_parts_cancel_are_not_evidence():
    cells = [
        PairedScores.of("mean", a, b, [(task, row) for row in range(6)], 100 / 3)
        for task, a, b in (("a", [0.8] * 6, [0.6] * 6), ("b", [0.6] * 6, [0.8] * 6), ("c", [0.7] * 6, [0.7] * 6))
    ]
    found = difference_of(cells)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.p_value == 1.0


def test_a_perplexity_that_overflows_is_missing_not_zero_and_not_an_error():
    fine, over = [(300.0, 100.0)] * 5, [(90_000.0, 100.0)] * 5
    for pair in ((fine, over), (over, fine), (over, over)):
        found = paired_difference("window_perplexity", *pair, alone(fine))
        assert (found.value, found.interval, found.p_value, found.greater(0), found.error) == (None,) * 5
        assert found.rows == 5


def test_one_row_or_one_document_is_not_tested():
    assert paired_difference("mean", [1.0], [0.0], [0]).p_value is None
    assert paired_difference("mean", [1.0, 1.0, 0.5], [0.0, 0.0, 0.0], [0, 0, 0]).interval is None


def test_zero_one_rows_that_share_documents_and_all_differ_alike_count_as_documents():
    stories = [row // 5 for row in range(20)]
    found = paired_difference("mean", [1.0] * 20, [0.0] * 20, stories)
    assert (found.rows, found.documents) == (20, 4)
    assert found.p_value == PairedShares(4, 4, 0).two_sided() > 0.05
    assert paired_difference("mean", [1.0] * 20, [1.0] * 20, stories).p_value == 1.0


def test_no_interval_of_shares_leaves_the_range():
    stream = np.random.default_rng(3)
    for rows in (2, 3, 8, 15):
        for shares in ((1.0, 0.05), (0.97, 0.5), (0.05, 1.0)):
            cells = [cell(stream, task, rows, shares, 50.0, cluster) for task, cluster in (("a", 1), ("b", 2))]
            for some in ([cells[0]], [cells[1]], cells):
                found = difference_of(some)
                limit = sum(one.weight for one in some)
                assert found.interval is None or -limit <= found.interval[0] < found.interval[1] <= limit


def test_the_bootstrap_agrees_with_the_permutation_test_and_with_students():
    stream = np.random.default_rng(10)
    first = stream.random(40)
    second = np.clip(first + stream.normal(0.06, 0.2, 40), 0, 1)
    found = paired_difference("mean", list(first), list(second), alone(first))
    permuted = stats.permutation_test(
        (first, second), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=20_000,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.value == pytest.approx(float(np.mean(first - second)))
    assert found.p_value == pytest.approx(permuted.pvalue, abs=0.012)
    assert found.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.012)
    assert found.interval == pytest.approx(stats.ttest_rel(first, second).confidence_interval(0.95), abs=0.01)


def bootstrap_p_values(differences: np.ndarray, draws: int) -> np.ndarray:
    """The paired bootstrap's p-value of many data sets at once: `differences` [sets, rows]."""
    rows = differences.shape[1]
    values, errors = differences.mean(axis=1), differences.std(axis=1, ddof=1) / math.sqrt(rows)
    distances = np.abs(studentised_draws((differences - values[:, None]) / rows, draws))
    observed = np.divide(np.abs(values), errors, out=np.zeros_like(values), where=errors > 0)
    return (1 + (distances >= observed[:, None]).sum(axis=1)) / (draws + 1)


@pytest.mark.parametrize("rows", [10, 20, 50])
def test_the_paired_bootstrap_rejects_equal_checkpoints_at_most_as_often_as_it_says(rows):
    stream = np.random.default_rng(9)
    shared = stream.random((10_000, rows))
    first, second = (np.clip(shared + stream.normal(0, 0.3, shared.shape), 0, 1) for _ in range(2))
    assert 0.03 <= (bootstrap_p_values(first - second, 399) <= 0.05).mean() <= 0.055


@pytest.mark.parametrize("documents", [8, 20])
def test_shared_documents_keep_size_and_coverage(documents):
    stream = np.random.default_rng(documents)
    for shares in ((0.5, 0.5), (0.6, 0.4)):
        found = [difference_of([cell(stream, "a", 5 * documents, shares, cluster=5)]) for _ in range(400)]
        true = difference_of([cell(stream, "a", 500_000, shares, cluster=5)])
        assert true.documents == 100_000
        inside = np.mean([one.interval is None or one.interval[0] <= true.value <= one.interval[1] for one in found])
        assert inside >= 0.94 - 0.011  # a standard deviation of 400 draws
        assert shares[0] != shares[1] or np.mean([one.p_value <= 0.05 for one in found]) <= 0.055 + 0.011


def test_an_average_of_cells_keeps_its_size_and_its_coverage():
    stream = np.random.default_rng(12)
    for shares in ((0.5, 0.5), (0.9, 0.6)):
        found = [difference_of([cell(stream, task, 15, shares, 0.5) for task in "ab"]) for _ in range(1500)]
        true = np.mean([difference_of([cell(stream, "a", 100_000, shares)]).value for _ in range(3)])
        inside = np.mean([one.interval[0] <= true <= one.interval[1] for one in found])
        assert 0.94 <= inside <= 0.98
        assert shares[0] != shares[1] or np.mean([one.p_value <= 0.05 for one in found]) <= 0.055


def test_pairing_finds_what_the_unpaired_test_on_the_same_data_misses():
    stream = np.random.default_rng(13)
    hardness = stream.random((400, 60))  # rows differ in hardness, alike for both checkpoints
    first = hardness + stream.normal(0, 0.15, hardness.shape) < 0.55
    second = hardness + stream.normal(0, 0.15, hardness.shape) < 0.45
    counts = zip((first & ~second).sum(1), (second & ~first).sum(1), strict=True)
    paired = np.mean([PairedShares(60, int(b), int(c)).two_sided() <= 0.05 for b, c in counts])
    sums = zip(first.sum(1), second.sum(1), strict=True)
    unpaired = np.mean([stats.fisher_exact([[a, 60 - a], [b, 60 - b]]).pvalue <= 0.05 for a, b in sums])
    assert paired > unpaired + 0.1
    assert np.mean(bootstrap_p_values(first.astype(float) - second, 399) <= 0.05) > unpaired + 0.1


def test_many_documents_are_tested_by_students_t_which_the_bootstrap_then_draws(monkeypatch):
    stream = np.random.default_rng(15)
    first, second = (np.where(stream.random(1200) > 0.2, 1.0, stream.random(1200)) for _ in range(2))
    found = paired_difference("mean", list(first), list(second), alone(first))
    monkeypatch.setattr("ropepp_eval.reports.differences.MANY_DOCUMENTS", 2000)
    drawn = paired_difference("mean", list(first), list(second), alone(first))
    assert (found.method, drawn.method) == ("t", "bootstrap")
    assert found.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.p_value == pytest.approx(drawn.p_value, abs=0.015)
    assert found.interval == pytest.approx(drawn.interval, abs=0.001)


def test_differences_of_perplexities_are_tested_on_the_perplexities():
    stream = np.random.default_rng(14)
    weights = stream.integers(50, 150, 60).astype(float)
    losses = stream.normal(3, 0.4, 60)
    first = list(zip(weights * losses, weights, strict=True))
    second = list(zip(weights * (losses + stream.normal(0.05, 0.05, 60)), weights, strict=True))
    found = paired_difference("window_perplexity", first, second, alone(first))
    assert found.value == pytest.approx(aggregate("window_perplexity", first) - aggregate("window_perplexity", second))
    assert found.value < 0
    assert found.p_value < 0.001
    assert found.interval[1] < 0
