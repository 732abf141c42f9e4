"""Intervals of scores and Holm: equal to scipy's and statsmodels', with the coverage they promise."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from ropepp_eval.reports.aggregation import STATISTICS, aggregate, standard_error
from ropepp_eval.reports.statistics import (
    bootstrap_interval,
    combined,
    contribution_error,
    contributions,
    effective_rows,
    holm,
    interval_from_error,
    linear_interval,
    score_interval,
    share_interval,
    wilson_interval,
)

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
                (1 / 3, contributions("mean", list(scores), [(cell, i) for i in own_clusters(scores)]))
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


@pytest.mark.parametrize(("right", "rows"), [(0, 7), (3, 7), (7, 7), (41.25, 96.5), (534, 535)])
def test_wilsons_interval_is_statsmodels_to_the_last_digit(right, rows):
    assert wilson_interval(right, rows) == proportion_confint(right, rows, method="wilson")


@pytest.mark.parametrize("aggregation", sorted(STATISTICS))
def test_sums_by_cluster_are_those_of_a_loop(aggregation):
    """To the last digit, and in the order in which clusters come, by which the bootstrap draws them."""
    stream = random.Random(aggregation)
    cells = [([stream.random() for _ in range(50)], [stream.randrange(9) for _ in range(50)]) for _ in range(3)]
    parts = [(weight, contributions(aggregation, *cell)) for weight, cell in zip((1.0, -0.5, 1 / 3), cells, strict=True)]
    summed: dict[int, float] = {}
    for weight, part in parts:
        for cluster, move in zip(part.clusters.tolist(), part.moves.tolist(), strict=True):
            summed[cluster] = summed.get(cluster, 0.0) + weight * move
    found = combined(parts)
    assert dict(zip(found.clusters.tolist(), found.moves.tolist(), strict=True)) == summed
    assert found.clusters.tolist() == list(summed)
    squares = 0.0
    for move in summed.values():
        squares += move**2
    assert contribution_error(found) == math.sqrt(squares * 9 / 8)


def test_holm_is_statsmodels_to_the_last_digit():
    stream = random.Random(5)
    for count in (1, 2, 30):
        p_values = [stream.choice([stream.random(), 1e-9, 0.03]) for _ in range(count)]
        assert holm(p_values) == list(multipletests(p_values, method="holm")[1])


def test_holm_is_statsmodels_and_skips_what_was_not_tested():
    p_values = [0.01, 0.04, None, 0.03]
    adjusted = holm(p_values)
    assert adjusted[2] is None
    assert [adjusted[i] for i in (0, 1, 3)] == pytest.approx(list(multipletests([0.01, 0.04, 0.03], method="holm")[1]))
    assert holm([None]) == [None]
