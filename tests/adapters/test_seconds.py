"""The seconds of requests that ran side by side add up to the time that all of them took."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from ropepp_eval.adapters import laps
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.paths import resource_dir


class CountingClock:
    """Each look is a second later than the one before."""

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.now = 0

    def perf_counter(self) -> float:
        self.now = next(self._ticks)
        return float(self.now)


def requests_of(kind: str) -> list[Instance]:
    texts = ["The grass is green.", "The sky is blue. The sun", "Here we go. " * 9, "There and back again. " * 30]
    if kind == "generate_until":
        return [Instance(kind, {}, (text, {"until": [], "max_gen_toks": 3 + i}), i) for i, text in enumerate(texts)]
    if kind == "loglikelihood":
        return [Instance(kind, {}, (text, " blue"), i) for i, text in enumerate(texts)]
    return [Instance(kind, {}, (text,), i) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def lm() -> NativeLM:
    return NativeLM(str(resource_dir("models") / "demo" / "rope"), dtype="float32")


@pytest.mark.parametrize("kind", ["generate_until", "loglikelihood", "loglikelihood_rolling"])
def test_seconds_add_up(kind: str, lm: NativeLM, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = CountingClock()
    monkeypatch.setattr(laps, "time", clock)
    answers = [answer for _, answer in lm.answers(requests_of(kind))]
    assert len(answers) == 4
    assert all(answer.seconds > 0 for answer in answers)
    assert sum(answer.seconds for answer in answers) == pytest.approx(clock.now)


def test_rows_that_begin_again_for_want_of_memory_keep_the_time_they_cost(
    lm: NativeLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = CountingClock()
    monkeypatch.setattr(laps, "time", clock)
    step, steps = lm.forward.step, itertools.count()

    def once_out_of_memory(*arguments: Any) -> Any:
        if next(steps) == 1:
            raise MemoryError
        return step(*arguments)

    monkeypatch.setattr(lm.forward, "step", once_out_of_memory)
    answers = [answer for _, answer in lm.answers(requests_of("generate_until"))]
    assert all(answer.error is None for answer in answers)
    assert sum(answer.seconds for answer in answers) == pytest.approx(clock.now)
