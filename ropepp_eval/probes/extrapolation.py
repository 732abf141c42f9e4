"""Loss by position, past the trained length: where it rises, with an interval over texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, name_columns
from ropepp_eval.probes.statistics import mean_with_interval
from ropepp_eval.rows.requests import RowInstance
from ropepp_eval.rows.sliding_windows import scored_tokens

if TYPE_CHECKING:
    import pandas

BUCKETS_AN_OCTAVE = 4
FIRST_BUCKET = 16
"""Tokens with fewer before them are one bucket: too few to tell apart."""
RISE = 0.1
"""Nats a token over the loss just inside the trained length."""
_RESAMPLES = 1999


@dataclass(frozen=True)
class Extrapolation(Probe):
    """The `extrapolation` probe; it works with any causal language model."""

    kind: ClassVar[str] = "extrapolation"
    of_heads: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"aggregation": "mean", "higher_is_better": False, "scale": 1.0}
        for name in ("loss", "loss_within", "loss_beyond")
    }

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        trained = subject_length(subject)
        for row in rows:
            window = {"window": cell.length_tokens, "stride": cell.length_tokens}
            request = RowInstance("sliding_window", {}, (row.prompt, window), 0)
            ((_, answer),) = subject.answers([request])
            if answer.error is not None:
                yield row, Measured(None, {}, answer.error)
                continue
            losses = {position: -logprob for window_number, position, logprob in scored_tokens(answer.response[:1])}
            yield row, Measured(_scores(losses, trained), {"trained_length": trained, "buckets": bucketed(losses)})

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a row and bucket: first and last position, mean `loss` in nats, tokens."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    **name_columns(record),
                    "trained_length": record["details"]["trained_length"],
                    "first": first,
                    "last": last,
                    "loss": total / tokens,
                    "tokens": tokens,
                }
                for record in records
                for first, last, total, tokens in record["details"]["buckets"]
            ]
        )

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """By checkpoint and bucket: mean loss over texts with its interval; with each checkpoint's rising length and its interval."""
        import pandas

        lines = []
        for names, group in frame.groupby(["checkpoint", "position", "trained_length", "task", "length_tokens"], sort=False):
            start = dict(zip(("checkpoint", "position", "trained_length", "task", "length_tokens"), names, strict=True))
            rising = rising_length(group)
            for (first, last), bucket in group.groupby(["first", "last"]):
                lines.append(
                    {
                        **start,
                        "first": first,
                        "last": last,
                        **mean_with_interval(bucket["loss"], bucket["cluster"]),
                        **rising,
                    }
                )
        return pandas.DataFrame(lines)


def subject_length(lm: Any) -> int:
    """The length in tokens that the model was made for."""
    return int(lm.model.config.max_position_embeddings if lm.checkpoint is None else lm.checkpoint.max_position_embeddings)


def bucketed(losses: Mapping[int, float]) -> list[list[float]]:
    """[first, last, sum, tokens] of each bucket of positions (tokens before the scored one): the first fifteen, then four an octave."""
    edges = [1, FIRST_BUCKET]
    while edges[-1] <= max(losses, default=0):
        edges.append(round(FIRST_BUCKET * 2 ** ((len(edges) - 1) / BUCKETS_AN_OCTAVE)))
    found = []
    for first, end in pairwise(edges):
        values = [loss for position, loss in losses.items() if first <= position < end]
        if values:
            found.append([first, end - 1, math.fsum(values), len(values)])
    return found


def _scores(losses: Mapping[int, float], trained: int) -> dict[str, float | None]:
    parts = {
        "loss": [*losses.values()],
        "loss_within": [loss for at, loss in losses.items() if at < trained],
        "loss_beyond": [loss for at, loss in losses.items() if at >= trained],
    }
    return {name: math.fsum(values) / len(values) if values else None for name, values in parts.items()}


def rising_length(group: pandas.DataFrame) -> dict[str, Any]:
    """`rises_at`: the first bucket past the trained length from which on the mean loss stays `RISE` nats over that of the last octave within; with a
    percentile bootstrap interval over rows. inf: nowhere up to the longest position read."""
    wide = group.pivot_table(index=["row", "cluster"], columns="first", values="loss").dropna(axis=1)
    trained = int(group["trained_length"].iloc[0])
    first = wide.columns.to_numpy()
    inside, beyond = (first >= trained / 2) & (first < trained), first >= trained
    if not inside.any() or not beyond.any():
        return {"rises_at": None, "rises_low": None, "rises_high": None}
    values = wide.to_numpy()
    weights = group.groupby("first")["tokens"].mean().reindex(first).to_numpy()

    def rises(means: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        within = (means[:, inside] * weights[inside]).sum(1) / weights[inside].sum()
        over = means[:, beyond] - within[:, None] >= RISE
        stays = np.logical_and.accumulate(over[:, ::-1], axis=1)[:, ::-1]
        places: np.ndarray[Any, Any] = np.where(stays.any(1), first[beyond][stays.argmax(1)].astype(float), np.inf)
        return places

    at = rises(values.mean(0)[None])[0]
    draws = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = (
        np.quantile(rises(values[draws].mean(1)), [0.025, 0.975], method="inverted_cdf") if len(values) > 1 else (None, None)
    )
    return {"rises_at": at, "rises_low": low, "rises_high": high}
