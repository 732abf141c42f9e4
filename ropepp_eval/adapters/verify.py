"""Whether both backends agree at the lengths that matter: log-probabilities and greedy continuations of the same rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length

CONTINUATION_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """What is compared."""

    checkpoint: str
    lengths: tuple[int, ...]
    """In tokens."""
    task: str = "niah_single_1"
    """Its prompts are the texts."""
    samples: int = 4
    """Rows a length."""
    dtype: str = "auto"
    device: str = "auto"
    position: str | None = None
    tokenizer: str | None = None
    seed: int = 42
    engine: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `EngineSettings`."""


@dataclass(frozen=True)
class Agreement:
    """What was found at one length."""

    length_tokens: int
    rows: int
    tokens: int
    """Tokens whose log-probability was compared: every one of the prompts but the first."""
    gap: float
    """Largest difference of a token's natural log-probability; infinite where a backend failed."""
    same: int
    """Rows whose greedy continuations are equal."""
    first: str
    """Where the first difference between continuations is, or what failed; empty: nowhere."""


def default_tolerance(dtype: str) -> float:
    """Largest gap that rounding explains: float32 was measured below 1e-4; bfloat16 and float16 sum in another order."""
    return 2e-4 if dtype == "float32" else 0.1


def compare_backends(settings: VerifySettings) -> tuple[list[Agreement], str]:
    """Agreement by length, and the dtype that ran. The native model is gone before the engine starts.

    Raises:
        UserError: the checkpoint, the task or a setting can't be used, or vLLM can't start.
    """
    from ropepp_eval.adapters.memory import free_memory
    from ropepp_eval.adapters.native import NativeLM
    from ropepp_eval.adapters.vllm import VllmLM
    from ropepp_eval.adapters.vllm.engine import require_vllm

    require_vllm()
    prompts = {length: prompts_of(settings, length) for length in settings.lengths}
    requests = [
        request for texts in prompts.values() for text in texts for request in _requests(text, max(settings.lengths))
    ]
    common: dict[str, Any] = {
        "tokenizer": settings.tokenizer,
        "position": settings.position,
        "dtype": settings.dtype,
        "device": settings.device,
        "max_length": max(settings.lengths),
    }
    native = NativeLM(settings.checkpoint, **common)
    tokenizer, dtype = native.tokenizer, str(native.get_model_info()["model_dtype"])
    expected = dict(native.answers(requests))
    del native
    free_memory()
    vllm = VllmLM(settings.checkpoint, **common, **settings.engine)
    try:
        found = dict(vllm.answers(requests))
    finally:
        vllm.close()
    result, begin = [], 0
    for length, texts in prompts.items():
        indices = range(begin, begin + 2 * len(texts))
        result.append(agreement(length, [expected[i] for i in indices], [found[i] for i in indices], tokenizer))
        begin = indices.stop
    return result, dtype


def prompts_of(settings: VerifySettings, length: int) -> list[str]:
    """Prompts of the task's rows at a length, as `ropepp-eval run` builds them."""
    from ropepp_eval.data import open_data
    from ropepp_eval.rows.building import frozen_rows
    from ropepp_eval.rows.catalogue import resolve_tasks
    from ropepp_eval.rows.row import RowRequest
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    entries = resolve_tasks([settings.task])
    if len(entries) > 1:
        raise UserError(
            f"{settings.task} is a group of {len(entries)} tasks; compare on one of them, such as {entries[0].name}"
        )
    request = RowRequest(
        task=entries[0].name,
        length_tokens=length,
        samples=settings.samples,
        seed=settings.seed,
        protocol="reference",
        tokenizer=load_tokenizer(settings.tokenizer or settings.checkpoint),
        data=open_data(None, offline=True),
    )
    return [row.prompt for row in frozen_rows(request, entries[0].build_rows())]


def _requests(text: str, window: int) -> tuple[Instance, Instance]:
    every = {"window": window, "stride": window}  # one window: every token of the prompt but the first
    continuation = {"max_gen_toks": CONTINUATION_TOKENS}
    return (
        Instance("sliding_window", {}, (text, every), 0),
        Instance("generate_until", {}, (text, continuation), 0),
    )


def agreement(length: int, expected: Sequence[Answer], found: Sequence[Answer], tokenizer: Any) -> Agreement:
    """Compare the answers of both backends; scores and continuations take turns."""
    tokens, gap, same, first = 0, 0.0, 0, ""
    rows = len(expected) // 2
    for row in range(rows):
        for name, answers in (("native", expected), ("vllm", found)):
            failed = next((a.error for a in answers[2 * row : 2 * row + 2] if a.error is not None), None)
            if failed is not None:
                gap, first = math.inf, first or f"row {row}, {name}: {failed.message}"
        if expected[2 * row].error is None and found[2 * row].error is None:
            pairs = list(zip(_logprobs(expected[2 * row]), _logprobs(found[2 * row]), strict=True))
            tokens += len(pairs)
            gap = max([gap, *(abs(a - b) for a, b in pairs)])
        want, got = expected[2 * row + 1].response, found[2 * row + 1].response
        if want is not None and want == got:
            same += 1
        elif want is not None and got is not None:
            first = first or f"row {row}, {first_difference(want, got, tokenizer)}"
    return Agreement(length, rows, tokens, gap, same, first)


def _logprobs(answer: Answer) -> list[float]:
    return [value for window in answer.response for value in window.logprobs]


def first_difference(want: str, got: str, tokenizer: Any) -> str:
    """Which token of two continuations differs first, and what both say."""
    ours, theirs = (tokenizer.encode(text, add_special_tokens=False) for text in (want, got))
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    said = [repr(tokenizer.decode(ids[at : at + 1])) if at < len(ids) else "the end" for ids in (ours, theirs)]
    return f"token {at}: native {said[0]}, vllm {said[1]}"


def table_of(lines: Sequence[Agreement], tolerance: float, dtype: str, style: str) -> str:
    """The comparison for people (`text`) or for programs (`json`, where an infinite gap is null)."""
    if style == "json":
        rows = [
            {**asdict(line), "gap": line.gap if math.isfinite(line.gap) else None, "passed": line.gap <= tolerance}
            for line in lines
        ]
        return json.dumps({"dtype": dtype, "tolerance": tolerance, "lengths": rows}, indent=1)
    text = [f"{'length':>8} {'rows':>5} {'tokens':>9} {'largest gap':>12} {'equal continuations':>20}  first difference"]
    for line in lines:
        verdict = "" if line.gap <= tolerance else "  OVER THE TOLERANCE"
        text.append(
            f"{format_length(line.length_tokens):>8} {line.rows:>5} {line.tokens:>9,} {line.gap:>12.2e} "
            f"{f'{line.same} of {line.rows}':>20}  {line.first or '-'}{verdict}"
        )
    return "\n".join([*text, f"{dtype}; tolerance {tolerance:g} (natural log-probability of a token)"])
