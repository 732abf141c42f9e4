"""Loss by position against the model's own logits, and where it is said to rise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from ropepp_eval.probes import extrapolation, rows_of
from ropepp_eval.probes.extrapolation import bucketed, rising_length
from ropepp_eval.tokens.tokenizer import load_tokenizer


def test_buckets_hold_every_position_once() -> None:
    buckets = bucketed(dict.fromkeys(range(1, 700), 1.0))
    assert [bucket[0] for bucket in buckets[:3]] == [1, 16, 19]
    assert all(before[1] + 1 == after[0] for before, after in pairwise(buckets))
    assert sum(bucket[3] for bucket in buckets) == 699
    assert {64, 128, 256, 512} <= {bucket[0] for bucket in buckets}


def test_losses_are_those_of_the_models_own_logits(ec: Any) -> None:
    (row,) = rows_of("wikitext_positions", 600, ec, samples=1)
    frame = extrapolation(ec, [row])
    ids = torch.tensor(load_tokenizer(ec.config.name_or_path).prompt_ids(row.prompt))
    with torch.no_grad():
        logprobs = ec(ids[None]).logits[0].log_softmax(-1)
    losses = -logprobs[:-1].gather(1, ids[1:, None])[:, 0]
    for first, last, loss, tokens in frame[["first", "last", "loss", "tokens"]].to_numpy():
        wanted = losses[int(first) - 1 : int(last)]
        assert len(wanted) >= tokens
        assert loss == pytest.approx(float(wanted[: int(tokens)].mean()), abs=1e-4)


def made(rows: list[list[float]]) -> pandas.DataFrame:
    """Losses at 256, 512, 600, 700 of a model trained at 512."""
    lines = [
        {"row": row, "cluster": str(row), "trained_length": 512, "first": first, "loss": loss, "tokens": 10}
        for row, losses in enumerate(rows)
        for first, loss in zip((256, 512, 600, 700), losses, strict=True)
    ]
    return pandas.DataFrame(lines)


def test_the_rise_is_the_first_bucket_from_which_the_loss_stays_up() -> None:
    same = made([[2.0, 2.0, 2.05, 2.3]] * 5)
    assert rising_length(same) == {"rises_at": 700.0, "rises_low": 700.0, "rises_high": 700.0}
    bump = made([[2.0, 2.5, 2.0, 2.3]] * 3)  # over at once, but back again
    assert rising_length(bump)["rises_at"] == 700
    never = rising_length(made([[2.0, 2.0, 2.0, 2.0]] * 3))
    assert np.isinf([never["rises_at"], never["rises_high"]]).all()
    apart = rising_length(made([[2.0, 2.0, 2.0, 2.3], [2.0, 2.4, 2.4, 2.4], [2.0, 2.0, 2.4, 2.4], [2.0, 2.0, 2.0, 2.0]]))
    assert apart["rises_low"] < apart["rises_high"]
