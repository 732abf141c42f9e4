"""The rates of this device for a loaded model: a few reads of two lengths and a few steps of generation, timed, and fitted to the
arithmetic of `forecasts.rates`."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import nnls

from ropepp_eval.adapters.native.cache import RaggedView, StackView
from ropepp_eval.adapters.native.lm import NativeLM
from ropepp_eval.adapters.windows import Ids, as_ids
from ropepp_eval.forecasts.calls import Call, Read, Steps
from ropepp_eval.forecasts.rates import Rates, seconds_of, total_seconds

SHARE = 0.04
"""Of the work that calibrating may take."""
LEAST_SECONDS, MOST_SECONDS = 0.5, 60.0
"""It may take the first whatever the work, and never more than the second."""
WORTH_MEASURING_SECONDS = 1.0
"""Work of fewer seconds, by the first measurements, is not worth more than those."""
ROUNDS = 3
"""Short reads say little of much longer ones: where the work turns out to be larger than they said, more is measured."""
FIRST_READS = (16, 64)
"""Tokens of the reads that say how long all others will take."""
_TIMES = ("call_seconds", "matrix", "attention", "masked", "weights", "row", "cache")
_MOST_STEPS = 8
"""Of generation that are timed in a row."""
_LARGE = 1e18
"""Operations a second of what no time could be seen of."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured."""

    rates: Rates
    seconds: float
    """That measuring took."""
    spread: float
    """Largest difference between equal measurements, over their median: a busy machine's is large."""


@dataclass
class _Measured:
    """Times of calls: each call with all its times."""

    calls: list[Call] = field(default_factory=list)
    times: list[list[float]] = field(default_factory=list)

    def add(self, call: Call, times: Sequence[float]) -> float:
        """Note a call's times; gives their median."""
        self.calls.append(call)
        self.times.append(list(times))
        return statistics.median(times)

    @property
    def spread(self) -> float:
        """See `Calibration.spread`; of calls that are long enough for a clock."""
        several = [times for times in self.times if len(times) > 1 and statistics.median(times) > 1e-3]
        return max(((max(times) - min(times)) / statistics.median(times) for times in several), default=0.0)


def calibrate(lm: NativeLM, calls: Sequence[Call]) -> Calibration:
    """Measure what the calls of a plan need.

    Args:
        lm: the loaded model.
        calls: the work that is going to be done.
    """
    began = time.perf_counter()
    probe, measured = _Probe(lm), _Measured()
    steps = [call for call in calls if isinstance(call, Steps)]
    reads = [call for call in calls if isinstance(call, Read)]
    probe.read(16, 0)  # the first call also chooses kernels
    for tokens in (min(tokens, lm.max_length) for tokens in FIRST_READS):
        measured.add(Read(tokens=tokens, logits=1), [probe.read(tokens, 0) for _ in range(3)])
    if steps:
        near = probe.place(64)
        measured.add(Steps(rows=1, context=near, steps=1), probe.steps(1, near, 3))
    rates, before = _fitted(lm, measured), 0.0
    for _ in range(ROUNDS):
        work = total_seconds(calls, lm.shapes, rates, lm.engine.dtype)
        if work < WORTH_MEASURING_SECONDS or work < 2 * before:
            break
        allowed = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * work))
        _measure_reads(probe, measured, reads, allowed * (0.6 if steps else 1.0))
        if steps:
            _measure_steps(probe, measured, steps, allowed * 0.4)
        rates, before = _fitted(lm, measured), work
    return Calibration(rates=rates, seconds=time.perf_counter() - began, spread=measured.spread)


def _measure_reads(probe: _Probe, measured: _Measured, reads: Sequence[Read], allowed: float) -> None:
    """Two lengths without a mask, the longer one as long as the plan's where that is allowed, and a piece far behind others where the
    plan has some."""
    plain = [read.tokens for read in reads if not read.masked and not read.past_tokens]
    masked = [read for read in reads if read.masked]
    parts = 1 + bool(masked)
    if plain:
        for tokens in _two_lengths(max(plain), lambda tokens: probe.guess(Read(tokens=tokens), measured), allowed / parts):
            probe.add(Read(tokens=tokens, logits=1), measured, allowed / parts / 2)
    if masked and not probe.lm.forward.whole:
        furthest = max(masked, key=lambda read: read.context)
        tokens = min(256, furthest.tokens)
        call = Read(tokens=tokens, past_tokens=furthest.context - tokens, masked=True, logits=1)
        while call.past_tokens > 1024 and probe.guess(call, measured) > allowed / parts:
            call = dataclasses.replace(call, past_tokens=call.past_tokens // 2)
        probe.add(call, measured, allowed / 4)


def _two_lengths(longest: int, guess: Callable[[int], float], allowed: float) -> list[int]:
    """A quarter of the longest length, and that length, or the longest that is allowed to be timed twice."""
    while longest > 2 * FIRST_READS[-1] and 2 * guess(longest) > allowed:
        longest = longest * 3 // 4
    return [max(FIRST_READS[-1], longest // 4), longest]


def _measure_steps(probe: _Probe, measured: _Measured, steps: Sequence[Steps], allowed: float) -> None:
    most = max(steps, key=lambda call: call.rows * call.context)
    rows, context = max(1, round(most.rows)), probe.place(most.context)
    while probe.lm.forward.whole and context > 64 and 2 * probe.guess(Read(tokens=context), measured) > allowed:
        context //= 2  # each of the two texts that it takes is read from its beginning
    wanted = [(1, context)] + ([(rows, context), (rows, min(64, context))] if rows > 1 else [])
    for number, place in wanted:
        call = Steps(rows=number, context=place, steps=1)
        count = min(_MOST_STEPS, max(2, int(allowed / len(wanted) / max(1e-6, probe.guess(call, measured)))))
        measured.add(call, probe.steps(number, place, count))


class _Probe:
    """Calls of the model, each with its time."""

    def __init__(self, lm: NativeLM) -> None:
        self.lm = lm
        self._ids = as_ids([number % max(2, min(1000, lm.encoder.vocabulary)) for number in range(1 << 10)])

    def guess(self, call: Call, measured: _Measured) -> float:
        """What a call will take, by what was measured so far."""
        return seconds_of(call, self.lm.shapes, _fitted(self.lm, measured), self.lm.engine.dtype)

    def add(self, call: Read, measured: _Measured, allowed: float) -> None:
        """Time a read: three times where that is allowed, else two; once where even that is too long."""
        allowed = max(allowed, self.guess(call, measured))
        times = [self.read(call.tokens, call.past_tokens)]
        while len(times) < 3 and sum(times) + times[-1] < allowed:
            times.append(self.read(call.tokens, call.past_tokens))
        measured.add(call, times)

    def place(self, context: float) -> int:
        """Tokens of a row that steps are timed behind: the model must have positions for the steps too."""
        return max(1, min(int(context), self.lm.max_length - _MOST_STEPS - 2))

    def ids(self, tokens: int) -> Ids:
        return np.resize(self._ids, tokens)

    @torch.inference_mode()
    def read(self, tokens: int, past: int) -> float:
        """Seconds of a read of `tokens` behind `past` places of a cache that holds zeros."""
        forward = self.lm.forward
        if forward.whole:
            return self._timed(lambda: forward.head(forward.hidden(forward.tensor([self.ids(tokens)]))[0, -1:]))
        store = forward.new_store(1, past + tokens)
        if past:
            forward.hidden(forward.tensor([self.ids(1)]), cache=StackView(store))  # makes the buffers
        view = StackView(store, length=past)
        return self._timed(lambda: forward.head(forward.hidden(forward.tensor([self.ids(tokens)]), cache=view)[0, -1:]))

    @torch.inference_mode()
    def steps(self, rows: int, context: int, count: int) -> list[float]:
        """Seconds of each of `count` steps of `rows` rows of nearly `context` tokens."""
        forward = self.lm.forward
        if forward.whole:
            return self._whole_steps(context, count)
        store = forward.new_store(rows, context + count + 2)
        forward.hidden(forward.tensor([self.ids(1)]), cache=StackView(store))
        lengths = [max(1, context - number % 2) for number in range(rows)]  # uneven, as rows of a plan are
        view = RaggedView(store, lengths, forward.device)
        newest = torch.full((rows,), 1, device=forward.device)

        def step() -> None:
            forward.head(forward.step(newest, view)).max(-1).indices.tolist()

        step()
        return [self._timed(step) for _ in range(count)]

    def _whole_steps(self, context: int, count: int) -> list[float]:
        from transformers import GenerationConfig

        ids = self.lm.forward.tensor([self.ids(context)])

        def write(tokens: int) -> None:
            config = GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
            self.lm.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)

        alone = self._timed(lambda: write(1))
        return [max(1e-6, (self._timed(lambda: write(1 + count)) - alone) / count)]

    def _timed(self, work: Callable[[], object]) -> float:
        cuda = self.lm.forward.device.type == "cuda"
        began = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began


def _fitted(lm: NativeLM, measured: _Measured) -> Rates:
    """The rates that come nearest to all measured times, relative errors squared; none is negative.

    The time of a call is a sum of one term a rate, each linear in the inverse of its rate.
    """
    dtype = lm.engine.dtype
    free = dict.fromkeys(_TIMES[1:], math.inf)  # takes no time at all: what is not in a call has a column of zeros
    columns = []
    for name in _TIMES:
        one = Rates(name="", **{"call_seconds": 0.0, **free, name: 1.0})
        columns.append([seconds_of(call, lm.shapes, one, dtype) for call in measured.calls])
    times = np.array([statistics.median(each) for each in measured.times])
    matrix = np.array(columns).T / times[:, None]
    scale = np.maximum(matrix.max(axis=0), 1e-300)
    found, _ = nnls(matrix / scale, np.ones(len(times)))
    values = dict(zip(_TIMES, found / scale, strict=True))
    return _rates(values, {name: any(column) for name, column in zip(_TIMES, columns, strict=True)})


def _rates(inverse: dict[str, float], seen: dict[str, bool]) -> Rates:
    """Rates of their inverses. What no call showed is taken as what is most like it."""
    rates = {name: 1 / value if value > 0 else _LARGE for name, value in inverse.items() if name != "call_seconds"}
    for name, like in (("attention", "matrix"), ("masked", "attention"), ("row", "matrix"), ("cache", "weights")):
        if not seen[name]:
            rates[name] = rates[like]
    return Rates(name="measured", call_seconds=float(inverse["call_seconds"]), **rates)
