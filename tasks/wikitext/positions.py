"""`wikitext_positions`: perplexity of tokens by how much context stands before them in the window."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.protocols import protocol_settings
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.rows.sliding_windows import ScoredWindow, scored_tokens
from ropepp_eval.tasks.wikitext.corpus import load_wikitext
from ropepp_eval.tasks.wikitext.settings import WikitextSettings
from ropepp_eval.tokens.counting import PieceCounter, piece_counter
from ropepp_eval.tokens.fitting import Filling, fill_window, longest_head

_SMALLEST_HEAD_TOKENS = 8
_SPARE = 1.01
"""Text that must be left for a further window, in lengths: line counts added up may be off by a few tokens."""


def position_rows(request: RowRequest) -> list[Row]:
    """Row i is the i-th window of the stream; windows do not overlap, and each begins at a line.

    Raises:
        UserError: the split does not fill one window.
    """
    settings = protocol_settings("wikitext", request.protocol, WikitextSettings)
    corpus = load_wikitext(request.data, settings.stream_split)
    counter = piece_counter(request.tokenizer)
    lines = corpus.lines
    tokens = request.tokenizer.count_each(lines)
    rows: list[Row] = []
    begin, left = 0, sum(tokens)
    while len(rows) < request.samples and left >= _SPARE * request.length_tokens:
        window = _window(request, lines[begin:], tokens[begin:], counter)
        rows.append(_row(request, len(rows), window, begin, counter, corpus.stand_in))
        left -= sum(tokens[begin : begin + len(window.pieces)])
        begin += len(window.pieces)
    if not rows and request.samples > 0:
        missing = math.ceil(_SPARE * request.length_tokens) - left
        raise UserError(
            f"task {request.task}: the corpus holds {left} tokens, about {missing} too few for one window of "
            f"{format_length(request.length_tokens)}; use a larger corpus or a shorter length"
        )
    return rows


def _row(request: RowRequest, number: int, window: Filling, line: int, counter: PieceCounter, stand_in: bool) -> Row:
    return Row(
        task=request.task,
        length_tokens=request.length_tokens,
        row=number,
        prompt=window.text,
        prompt_tokens=counter.count(window.text),
        window_tokens=request.length_tokens,
        stride_tokens=request.length_tokens,
        stand_in=stand_in,
        details={"first_line": line, "lines": len(window.pieces)},
    )


def _window(request: RowRequest, lines: list[str], tokens: list[int], counter: PieceCounter) -> Filling:
    """Lines from the first on, the last one cut at a word, so that they fill the length."""

    def assemble(room_tokens: int) -> Filling:
        pieces: list[str] = []
        for line, count in zip(lines, tokens, strict=True):
            if count > room_tokens:
                head = longest_head(line, room_tokens, counter.count)
                pieces += [head] if head else []
                break
            pieces.append(line)
            room_tokens -= count
        return Filling("".join(pieces), tuple(pieces), exhausted=len(pieces) == len(lines))

    return fill_window(
        request.task,
        request.length_tokens,
        request.entering_tokens,
        assemble,
        smallest_piece_tokens=_SMALLEST_HEAD_TOKENS,
    )


def position_scores(row: Row, responses: Sequence[Sequence[ScoredWindow]]) -> dict[str, Any]:
    """(log-likelihood, tokens) pairs: of the whole window, and of each bucket of positions that it reaches.

    `perplexity_at_64` is about tokens with 64 to 127 tokens before them in the window; the bucket before ends at 63.
    """
    buckets: dict[int, list[float]] = defaultdict(list)
    for _, position, logprob in scored_tokens(responses[0]):
        buckets[bucket_of(position)].append(logprob)
    everything = [logprob for logprobs in buckets.values() for logprob in logprobs]
    pairs = {f"perplexity_at_{first}": logprobs for first, logprobs in sorted(buckets.items())}
    return {name: (math.fsum(values), len(values)) for name, values in {"token_perplexity": everything, **pairs}.items()}


def bucket_of(position: int) -> int:
    """The largest power of two that is not over `position` (1 or more)."""
    return 1 << (position.bit_length() - 1)
