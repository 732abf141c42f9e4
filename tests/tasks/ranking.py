"""Perplexity ranking with a loss that anyone can compute: a real adapter whose engine is one line of arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ropepp_eval.adapters.base import RowAdapter
from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.ledger import Generated, SpanScore
from ropepp_eval.adapters.settings import Settings
from ropepp_eval.rows.building import with_special_tokens
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row
from ropepp_eval.tokens.tokenizer import Tokenizer


def loss(before: np.ndarray[Any, Any], token: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The loss of `token` after `before`: multiples of 1/64, whose sums are exact."""
    return ((before.astype(np.int64) * 7919 + token.astype(np.int64) * 104729 + 12345) % 1021) / 64


class ArithmeticLM(RowAdapter):
    """Scores spans by `loss`; everything else is as in the engines. `spans` counts what an engine would compute, equal work once."""

    def __init__(self, tokenizer: Tokenizer, max_length: int = 4096) -> None:
        super().__init__(
            tokenizer,
            Settings(max_length=max_length),
            name="",
            checkpoint=None,
            trained_tokens=max_length,
            vocabulary=1 << 20,
            end_ids=frozenset(),
        )
        self.computed: set[tuple[int, bytes]] = set()

    def _scores(self, jobs: Sequence[Job]) -> Iterator[SpanScore]:
        for job in jobs:
            for number, span in enumerate(job.spans):
                self.computed.add((span.first, span.ids.tobytes()))
                losses = loss(span.ids[span.first - 1 : -1], span.ids[span.first :])
                yield SpanScore((job.index, number), -losses.astype(np.float32), False, 0.0)

    def _generations(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        assert not jobs, "this engine ranks texts and writes none"
        return iter(())

    def plan(self, requests: Any) -> Any:
        return SimpleNamespace(lines=lambda: [f"{len(requests)} requests, one line of arithmetic a token"])

    def get_model_info(self) -> dict[str, Any]:
        return {}


def responses_of(row: Row, lm: RowAdapter, tokenizer: Tokenizer) -> list[Any]:
    """The adapter's responses to a row as the runner asks it, its ledger checked."""
    row = with_special_tokens(row, tokenizer)
    answers = dict(lm.answers(requests_of(row, "multiple_choice", {}, doc=row.as_doc())))
    assert [answer.error for answer in answers.values()] == [None] * len(row.choices)
    return [answers[index].response for index in range(len(row.choices))]
