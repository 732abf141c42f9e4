"""Sliding-window perplexity: one row that holds a whole corpus, and from its windows to (sum, weight) pairs by a protocol's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.row import Row, RowRequest

SEPARATOR = "\n\n"
"""What joins the texts of a corpus into one stream, in the authors' script as in Hugging Face's perplexity page."""

Pair = tuple[float, float]
"""A sum and what it is divided by, so that pairs of several rows can be added up first."""


class ScoredWindow(Protocol):
    """One window of a text: what `adapters` yield for a `sliding_window` request."""

    @property
    def begin(self) -> int:
        """Number of the window's first token in the text."""

    @property
    def end(self) -> int:
        """One past the number of its last token."""

    @property
    def logprobs(self) -> Sequence[float]:
        """Natural log-probabilities of its last tokens, in order; these are the scored ones."""


def each_token_once(windows: Sequence[ScoredWindow], stride_tokens: int) -> Pair:
    """Sum of the losses of all scored tokens, each in the first window that scores it, and their number.

    exp(sum / number) is the plain token perplexity. The text's first token has nothing before it and no loss.
    """
    losses = [-logprob for _, _, logprob in scored_tokens(windows)]
    return math.fsum(losses), float(len(losses))


def mean_times_stride(windows: Sequence[ScoredWindow], stride_tokens: int) -> Pair:
    """The arithmetic behind the paper's perplexities (OpenMOSS/rope_pp 91ba335, `test_ppl.py`), oddities included.

    Each window adds its mean loss times the stride, also the first, which scores one token fewer, and the last, which may
    score tokens a second time. The divisor is where the last window's new tokens begin, not the number of tokens, so the
    result is too high: 11-24 % on 6,000 tokens, little on whole corpora.

    Raises:
        ValueError: there is one window only, so the divisor would be 0.
    """
    divisor = float((len(windows) - 1) * stride_tokens)
    if not divisor:
        raise ValueError(f"a text of one window can't be scored this way; it needs more than {stride_tokens} tokens")
    return math.fsum(-math.fsum(w.logprobs) / len(w.logprobs) * stride_tokens for w in windows), divisor


ARITHMETIC: Mapping[str, Callable[[Sequence[ScoredWindow], int], Pair]] = {
    "each_token_once": each_token_once,
    "mean_times_stride": mean_times_stride,
}
"""By the name in `protocols.yaml`."""


def scored_tokens(windows: Iterable[ScoredWindow]) -> Iterator[tuple[int, int, float]]:
    """(number in the text, position in the window, log-probability) of each token, in the first window that scores it."""
    done = 0
    for window in windows:
        first_scored = window.end - len(window.logprobs)
        for index, logprob in enumerate(window.logprobs, start=first_scored):
            if index >= done:
                yield index, index - window.begin, float(logprob)
        done = max(done, window.end)


def window_perplexity(pairs: Sequence[Pair]) -> float:
    """exp(sum / divisor) over the pairs of all rows: the aggregation that lm-eval is given."""
    return math.exp(math.fsum(total for total, _ in pairs) / math.fsum(weight for _, weight in pairs))


def sliding_rows(
    request: RowRequest, texts: Sequence[str], *, stride_tokens: int, arithmetic: str, stand_in: bool
) -> list[Row]:
    """The one row of a sliding-window task: all `texts` joined, windows of the request's length ending every stride.

    Raises:
        UserError: the length is shorter than the stride, or the corpus has no second window.
    """
    if request.length_tokens < stride_tokens:
        raise UserError(
            f"task {request.task}: length {format_length(request.length_tokens)} is under the stride of {stride_tokens} "
            f"tokens, so tokens would be skipped; use {format_length(stride_tokens)} or more"
        )
    text = SEPARATOR.join(texts)
    tokens = request.tokenizer.count(text)
    if tokens <= stride_tokens:
        raise UserError(
            f"task {request.task}: the corpus holds {tokens} tokens, and two windows need more than {stride_tokens}; "
            f"{stride_tokens + 1 - tokens} are missing; use a larger corpus"
        )
    row = Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=0,
        prompt=text,
        prompt_tokens=tokens,
        window_tokens=request.length_tokens,
        stride_tokens=stride_tokens,
        stand_in=stand_in,
        details={"arithmetic": arithmetic, "texts": len(texts)},
    )
    return [row]


def sliding_scores(row: Row, responses: Sequence[Sequence[ScoredWindow]]) -> dict[str, Any]:
    """`token_perplexity` of the row as a (sum of losses, divisor) pair, by the arithmetic its protocol names."""
    pair: Pair = ARITHMETIC[row.details["arithmetic"]](responses[0], row.stride_tokens)
    return {"token_perplexity": pair}
