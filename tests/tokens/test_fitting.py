"""The fit is the largest size within the budget, however wrong the estimate is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropepp_eval.tokens.fitting import TooShort, fit_size, largest_size


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 300))
def test_bisection_equals_trying_every_size(units: list[int], budget: int) -> None:
    def tokens_of(size: int) -> int:
        return sum(units[:size])

    fitting = [size for size in range(1, len(units) + 1) if tokens_of(size) <= budget]
    assert largest_size(tokens_of, budget, 1, len(units)) == max(fitting, default=None)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(0, 300), st.integers(-20, 20), st.floats(0.3, 3))
def test_a_wrong_estimate_still_leads_to_the_largest_size(units: list[int], budget: int, off: int, factor: float) -> None:
    def count(size: int) -> int:
        return sum(units[:size])

    def estimate(size: int) -> int:
        return int(count(size) * factor) + off

    fitting = [size for size in range(1, len(units) + 1) if count(size) <= budget]
    if not fitting:
        with pytest.raises(TooShort) as short:
            fit_size(estimate, count, budget, 1, len(units))
        assert short.value.needed_tokens == count(1)
    else:
        size, tokens = fit_size(estimate, count, budget, 1, len(units))
        assert tokens == count(size) <= budget
        assert size == max(fitting) or estimate(size) == count(size)


def test_a_right_estimate_needs_one_count() -> None:
    asked: list[int] = []

    def count(size: int) -> int:
        asked.append(size)
        return 10 + 3 * size

    assert fit_size(lambda size: 10 + 3 * size, count, 100, 1, 1000) == (30, 100)
    assert asked == [30]


def test_a_count_that_jumps_about_ends_within_the_budget() -> None:
    def count(size: int) -> int:
        return 3 * size + (size * 7919) % 5

    size, tokens = fit_size(lambda size: 3 * size, count, 1000, 1, 10_000)
    assert tokens == count(size) <= 1000
    assert tokens > 980
