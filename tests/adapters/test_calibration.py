"""A trial of a model takes its share of the work, also where each text is read from its beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.adapters.native import NativeLM, calibration
from ropepp_eval.forecasts.calls import Read, Steps
from ropepp_eval.tokens.ids import Tokenizer
from tests.adapters.families import FAMILIES
from tests.adapters.toys import Letters

TOKEN_SECONDS = 1e-3


def test_a_model_that_reads_whole_texts_is_tried_on_short_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are made up: each token that is read takes a millisecond."""
    family = next(family for family in FAMILIES if family.name == "Llama, dynamic NTK")
    lm = NativeLM(
        str(family.save(tmp_path / "model")), tokenizer=Tokenizer(Letters(), ""), dtype="float32", max_length=20_000
    )
    spent: list[float] = []

    def read(_: object, tokens: int, past: int) -> float:
        spent.append(TOKEN_SECONDS * (past + tokens))
        return spent[-1]

    def whole_steps(_: object, context: int, count: int) -> list[float]:
        spent.extend(2 * [TOKEN_SECONDS * context])
        return [TOKEN_SECONDS] * count

    monkeypatch.setattr(calibration._Probe, "read", read)
    monkeypatch.setattr(calibration._Probe, "_whole_steps", whole_steps)
    calibration.calibrate(lm, [Read(tokens=16_000, logits=1), Steps(rows=1, context=16_000, steps=128)])
    assert lm.forward.whole
    assert sum(spent) < 0.2 * TOKEN_SECONDS * 16_000  # the first reads are the same whatever the work
