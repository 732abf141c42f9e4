"""Real trained weights through vLLM: the same answers and scores as the native adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.vllm import VllmLM
from tests.real.conftest import real_checkpoint  # noqa: F401  # a fixture
from tests.real.test_real_model import requests, rows_of

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def test_answers_and_scores_of_both_engines_agree(real_checkpoint: Path) -> None:  # noqa: F811
    rows = rows_of(real_checkpoint, "niah_single_2", 512, 5)
    asked = requests(rows, "niah_single_2") + requests(rows_of(real_checkpoint, "openbookqa", 2048, 3), "openbookqa")
    native = dict(NativeLM(str(real_checkpoint), dtype="float32").answers(asked))
    lm = VllmLM(str(real_checkpoint), dtype="float32", max_length=600, enforce_eager=True, kv_cache_gib=0.5)
    try:
        answers = dict(lm.answers(asked))
    finally:
        lm.close()
    for number in range(len(asked)):
        assert answers[number].error is None
        if number < len(rows):
            assert answers[number].response == native[number].response
        else:
            assert answers[number].response[0] == pytest.approx(native[number].response[0], abs=5e-4, rel=0)
