"""Intervals and tests: equal to scipy's and statsmodels', with the coverage, size and power they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from ropepp_eval.reports.aggregation import STATISTICS, aggregate, standard_error
from ropepp_eval.reports.statistics import (
    DRAWS,
    bootstrap_interval,
    combined,
    contribution_error,
    contributions,
    effective_rows,
    holm,
    interval_from_error,
    linear_interval,
    mcnemar_exact,
    paired_bootstrap,
    paired_difference,
    score_interval,
    share_interval,
    studentised_draws,
    wilson_interval,
)
from ropepp_eval.resolution import mcnemar_power, resolution_in_words, smallest_difference

ROWS = 100
SIMULATIONS = 1_000_000


def own_clusters(scores):
    return list(range(len(scores)))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_wilson_covers_the_true_share_as_often_as_it_says(share):
    successes = np.random.default_rng(7).binomial(ROWS, share, SIMULATIONS)
    bounds = np.array([wilson_interval(k, ROWS) for k in range(ROWS + 1)])
    covered = (bounds[:, 0] <= share) & (share <= bounds[:, 1])
    assert 0.94 <= covered[successes].mean() <= 0.97


def test_wilson_is_the_textbooks_formula():
    low, high = wilson_interval(3, 40)
    z = stats.norm.ppf(0.975)
    centre = (3 + z**2 / 2) / (40 + z**2)
    reach = z / (40 + z**2) * math.sqrt(3 * 37 / 40 + z**2 / 4)
    assert (low, high) == pytest.approx((centre - reach, centre + reach))


def test_the_bootstrap_interval_of_graded_scores_covers_the_true_mean():
    stream = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        scores = stream.choice([0.0, 0.25, 0.5, 1.0], p=[0.4, 0.2, 0.2, 0.2], size=60)
        low, high = score_interval("mean", list(scores), own_clusters(scores))
        covered += low <= 0.35 <= high
    assert 0.92 <= covered / 300 <= 0.98  # 300 draws know the coverage to 1 %


def test_the_bootstrap_interval_is_scipys():
    scores = np.random.default_rng(5).random(30)
    ours = bootstrap_interval(scores, np.ones(30), own_clusters(scores), STATISTICS["mean"])
    theirs = stats.bootstrap((scores,), np.mean, n_resamples=9999, rng=np.random.default_rng(1)).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_clustered_rows_give_the_wider_interval_of_their_documents():
    documents = np.random.default_rng(2).random(20) < 0.5
    scores = [float(score) for score in documents for _ in range(10)]
    clusters = [document for document in range(20) for _ in range(10)]
    assert effective_rows(np.array(scores), clusters) == pytest.approx(19)  # the rows of a document say the same thing
    low, high = score_interval("mean", scores, clusters)
    alone = score_interval("mean", scores, own_clusters(scores))
    assert high - low > 2.5 * (alone[1] - alone[0])


def test_clustered_intervals_cover_the_true_share():
    stream = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        shares = stream.beta(2, 2, 40)
        scores = [float(score) for share in shares for score in stream.random(5) < share]
        low, high = score_interval("mean", scores, [i for i in range(40) for _ in range(5)])
        covered += low <= 0.5 <= high
    assert 0.93 <= covered / 1000 <= 0.97


@pytest.mark.parametrize("shares", [(0.05, 0.5, 0.9), (0.02, 0.03, 0.05)])
def test_intervals_of_averages_cover_the_true_average(shares):
    stream = np.random.default_rng(4)
    covered = 0
    for _ in range(1500):
        cells = [(stream.random(50) < share).astype(float) for share in shares]
        parts = combined(
            [
                (1 / 3, {(cell, i): move for i, move in contributions("mean", list(scores), own_clusters(scores)).items()})
                for cell, scores in enumerate(cells)
            ]
        )
        low, high = share_interval(float(np.mean([scores.mean() for scores in cells])), parts)
        covered += low <= np.mean(shares) <= high
    assert 0.935 <= covered / 1500 <= 0.975


@pytest.mark.parametrize("aggregation", sorted(STATISTICS))
def test_contributions_give_the_error_that_simulation_shows(aggregation):
    stream = np.random.default_rng(6)

    def draw():
        weights = stream.integers(5, 15, 200).astype(float)
        sums = weights * stream.normal(-1.0, 0.5, 200)
        if aggregation in ("mean", "perplexity"):
            return list(sums / weights)
        return list(zip(-sums if aggregation == "window_perplexity" else sums, weights, strict=True))

    samples = [draw() for _ in range(600)]
    spread = np.std([aggregate(aggregation, scores) for scores in samples], ddof=1)
    errors = [contribution_error(contributions(aggregation, scores, own_clusters(scores))) for scores in samples]
    assert np.mean(errors) == pytest.approx(spread, rel=0.12)


def test_the_error_of_a_plain_mean_is_exact():
    scores = [0.0, 1.0, 0.25, 0.5]
    error = contribution_error(contributions("mean", scores, own_clusters(scores)))
    assert error == pytest.approx(np.std(scores, ddof=1) / 2)
    assert linear_interval(0.4375, contributions("mean", scores, own_clusters(scores))) == pytest.approx(
        tuple(stats.t.interval(0.95, 3, loc=0.4375, scale=error))
    )


@pytest.mark.parametrize("scores", [[], [1.0]])
def test_one_row_or_none_has_no_interval(scores):
    assert score_interval("mean", scores, own_clusters(scores)) is None


def test_graded_scores_without_spread_have_no_interval_but_shares_do():
    assert score_interval("mean", [0.25] * 10, own_clusters([0.25] * 10)) is None
    low, high = score_interval("mean", [1.0] * 10, own_clusters([1.0] * 10))
    assert (round(low, 3), high) == (0.722, pytest.approx(1.0))


@pytest.mark.parametrize("right", [0, 3, 20, 40])
def test_value_error_and_rows_alone_give_the_interval_that_the_rows_give(right):
    scores = [1.0] * right + [0.0] * (40 - right)
    error = standard_error("mean", scores)
    expected = score_interval("mean", scores, own_clusters(scores))
    assert interval_from_error(right / 40, error, 40, share=True) == pytest.approx(expected)


def test_the_interval_of_another_value_from_its_error_is_students():
    assert interval_from_error(7.0, 0.5, 12, share=False) == pytest.approx(stats.t.interval(0.95, 11, loc=7.0, scale=0.5))
    assert interval_from_error(7.0, None, 12, share=False) is None


def test_mcnemar_is_statsmodels_and_the_binomial_test():
    first, second = [1.0] * 12 + [0.0] * 8, [1.0] * 3 + [0.0] * 15 + [1.0] * 2
    expected = mcnemar([[3, 9], [2, 6]], exact=True).pvalue
    assert mcnemar_exact(first, second) == pytest.approx(expected) == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert mcnemar_exact([1.0, 0.0], [1.0, 0.0]) == 1.0


def test_mcnemar_rejects_equal_checkpoints_at_most_as_often_as_it_says():
    stream = np.random.default_rng(8)
    counts = stream.multinomial(ROWS, [0.1, 0.1, 0.8], SIMULATIONS)
    p_values = binomial_p(*np.indices((ROWS + 1, ROWS + 1)))
    assert (p_values[counts[:, 0], counts[:, 1]] <= 0.05).mean() <= 0.055


def binomial_p(first, second):
    """McNemar's exact p-value from the two counts, elementwise; equal to `mcnemar_exact` (the test above)."""
    return np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(first, second), np.add(first, second), 0.5))


def bootstrap_p_values(differences: np.ndarray, draws: int) -> np.ndarray:
    """The paired bootstrap's p-value of many data sets at once: `differences` [sets, rows]."""
    rows = differences.shape[1]
    values, errors = differences.mean(axis=1), differences.std(axis=1, ddof=1) / math.sqrt(rows)
    distances = studentised_draws((differences - values[:, None]) / rows, draws)
    observed = np.divide(np.abs(values), errors, out=np.zeros_like(values), where=errors > 0)
    return (1 + (distances >= observed[:, None]).sum(axis=1)) / (draws + 1)


@pytest.mark.parametrize("rows", [20, 50])
def test_the_paired_bootstrap_rejects_equal_checkpoints_at_most_as_often_as_it_says(rows):
    stream = np.random.default_rng(9)
    shared = stream.random((10_000, rows))
    first, second = (np.clip(shared + stream.normal(0, 0.3, shared.shape), 0, 1) for _ in range(2))
    assert 0.035 <= (bootstrap_p_values(first - second, 399) <= 0.05).mean() <= 0.055


def test_a_single_p_value_of_the_paired_bootstrap_agrees_with_the_permutation_test():
    stream = np.random.default_rng(10)
    first = stream.random(40)
    second = np.clip(first + stream.normal(0.06, 0.2, 40), 0, 1)
    found = paired_difference("mean", list(first), list(second), own_clusters(first))
    permuted = stats.permutation_test(
        (first, second), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=20_000,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.method == "paired bootstrap"
    assert found.value == pytest.approx(float(np.mean(first - second)))
    assert found.p_value == pytest.approx(permuted.pvalue, abs=0.012)
    assert found.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.012)


def test_the_interval_of_a_difference_leaves_out_zero_exactly_where_p_is_under_the_level():
    stream = np.random.default_rng(12)
    for _ in range(60):
        moves = dict(enumerate(stream.normal(0, 1, 25)))
        mean = sum(moves.values()) / 25
        centred = {i: (move - mean) / 25 for i, move in moves.items()}
        interval, p = paired_bootstrap(mean, centred)
        if abs(p - 0.05) > 2 / DRAWS:
            assert (interval[0] > 0 or interval[1] < 0) == (p <= 0.05)


def test_pairing_finds_what_the_unpaired_test_on_the_same_data_misses():
    stream = np.random.default_rng(13)
    hardness = stream.random((800, 60))  # rows differ in hardness, alike for both checkpoints
    first = (hardness + stream.normal(0, 0.15, hardness.shape) < 0.55).astype(float)
    second = (hardness + stream.normal(0, 0.15, hardness.shape) < 0.45).astype(float)
    paired = np.mean(binomial_p((first > second).sum(1), (second > first).sum(1)) <= 0.05)
    unpaired = np.mean(
        [
            stats.fisher_exact([[a, 60 - a], [b, 60 - b]]).pvalue <= 0.05
            for a, b in zip(first.sum(1), second.sum(1), strict=True)
        ]
    )
    bootstrapped = np.mean(bootstrap_p_values(first - second, 399) <= 0.05)
    assert paired > unpaired + 0.1
    assert bootstrapped > unpaired + 0.1


def test_differences_of_perplexities_are_tested_on_the_perplexities():
    stream = np.random.default_rng(14)
    weights = stream.integers(50, 150, 60).astype(float)
    losses = stream.normal(3, 0.4, 60)
    first = list(zip(weights * losses, weights, strict=True))
    second = list(zip(weights * (losses + stream.normal(0.05, 0.05, 60)), weights, strict=True))
    found = paired_difference("window_perplexity", first, second, own_clusters(first))
    assert found.value == pytest.approx(aggregate("window_perplexity", first) - aggregate("window_perplexity", second))
    assert found.value < 0
    assert found.p_value < 0.001
    assert found.interval[1] < 0


def test_equal_scores_are_tied_and_one_row_is_not_tested():
    same = paired_difference("mean", [0.5, 0.25, 1.0], [0.5, 0.25, 1.0], [0, 1, 2])
    assert (same.value, same.p_value, same.interval) == (0.0, 1.0, None)
    assert paired_difference("mean", [1.0], [0.0], [0]).p_value is None


def test_rows_that_all_differ_alike_are_tested_by_the_sign_test():
    found = paired_difference("mean", [0.5] * 10, [0.25] * 10, own_clusters(range(10)))
    assert (found.value, found.interval) == (0.25, None)
    assert found.p_value == pytest.approx(stats.binomtest(10, 10).pvalue)


def test_holm_is_statsmodels_and_skips_what_was_not_tested():
    p_values = [0.01, 0.04, None, 0.03]
    adjusted = holm(p_values)
    assert adjusted[2] is None
    assert [adjusted[i] for i in (0, 1, 3)] == pytest.approx(list(multipletests([0.01, 0.04, 0.03], method="holm")[1]))
    assert holm([None]) == [None]


def test_the_smallest_difference_has_the_power_it_says():
    smallest = smallest_difference(200, disagreement=0.3)
    stream = np.random.default_rng(15)
    counts = stream.multinomial(200, [(0.3 + smallest) / 2, (0.3 - smallest) / 2, 0.7], 20_000)
    assert (binomial_p(counts[:, 0], counts[:, 1]) <= 0.05).mean() == pytest.approx(0.8, abs=0.015)
    assert mcnemar_power(200, smallest, 0.3) == pytest.approx(0.8, abs=0.01)


def test_more_rows_show_smaller_differences_and_five_show_none():
    found = [smallest_difference(rows) for rows in (6, 20, 100, 500)]
    assert found == sorted(found, reverse=True)
    assert smallest_difference(5) is None
    assert "needs at least 6" in resolution_in_words(5)
    assert "with 100 rows a cell a paired test shows differences of 12.8 points or more" in resolution_in_words(100)
