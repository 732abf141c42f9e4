"""A real trained model, ours against lm-eval 0.4.13's HFLM: equal answers, and what they cost.

The pair: the same weights (SmolLM2-135M-Instruct, fetched once), the same requests, each side in a process of its own that answers
the same kind of request once before. Three parts: RULER rows of 2k, generated greedily; questions with four choices on one context of
4k; short questions whose scores are compared one by one. Memory is the peak of the process while it answers the four choices,
weights included.
"""

from __future__ import annotations

import json
from typing import Any

import _common as common

from ropepp_eval.errors import UserError

ROWS, LENGTH, CONTEXT, QUESTIONS, SHORT = 8, 2048, 4096, 2, 20
TOLERANCE = 2e-4


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--dtype", default="float32", help="dtype of generation and choices (default float32)")
    given = options.parse_args()
    if given.side:
        print(json.dumps(side(given.side, given.folder, **json.loads(given.settings))))
        return 0
    from ropepp_eval.demo.real_model import real_model

    try:
        folder = real_model()
    except UserError as error:
        print(f"not run: {error}")
        return 0
    settings = {"rows": 2 if given.quick else ROWS, "dtype": given.dtype, "questions": 1 if given.quick else QUESTIONS}
    theirs, ours = (common.run_side(__file__, name, folder, given.quick, **settings) for name in ("hflm", "ours"))
    apart = max(abs(a - b) for a, b in zip(theirs["scores"], ours["scores"], strict=True))
    same = sum(a == b for a, b in zip(theirs["texts"], ours["texts"], strict=True))
    checks = [
        common.Check("nats between scores", apart, TOLERANCE, exact=True),
        common.Check("share of equal generated answers", same / len(ours["texts"]), 1.0, "at least", exact=True),
        common.Check("times quicker, generation", theirs["generation"] / ours["generation"], 2, "at least"),
        common.Check("times quicker, four choices", theirs["choices"] / ours["choices"], 6, "at least"),
        common.Check("times the memory, four choices", ours["bytes"] / theirs["bytes"], 0.5),
    ]
    told = ("generation", "choices", "bytes")
    return common.finish(
        "real_model",
        checks,
        quick=given.quick,
        dtype=given.dtype,
        rows=settings["rows"],
        hflm={name: theirs[name] for name in told},
        ours={name: ours[name] for name in told},
    )


def side(name: str, folder: str, *, rows: int, questions: int, dtype: str) -> dict[str, Any]:
    """Scores, texts, seconds and bytes of one side."""
    lm = _model(name, folder, dtype)
    generation, warm_up = _ruler(folder, rows), _choices(folder, 1, context_tokens=512)
    choices, short = _choices(folder, questions), _short(folder)
    lm.loglikelihood(warm_up, disable_tqdm=True)
    common.forget_peak()
    with common.Stopwatch() as choosing:
        scores = lm.loglikelihood(choices, disable_tqdm=True)
    peak = common.peak_bytes()
    lm.generate_until(_ruler(folder, 1, length=512), disable_tqdm=True)
    with common.Stopwatch() as writing:
        texts = lm.generate_until(generation, disable_tqdm=True)
    compared = _model(name, folder, "float32") if dtype != "float32" else lm
    scores = compared.loglikelihood(short, disable_tqdm=True)
    return {
        "scores": [score for score, _ in scores], "texts": texts, "generation": writing.seconds, "choices": choosing.seconds, "bytes": peak,
    }  # fmt: skip


def _model(name: str, folder: str, dtype: str) -> Any:
    if name == "hflm":
        from lm_eval.models.huggingface import HFLM

        return HFLM(pretrained=folder, dtype=dtype, device="cpu", batch_size=1)
    from ropepp_eval.adapters.native import NativeLM

    return NativeLM(folder, dtype=dtype)


def _rows(folder: str, task: str, length: int, samples: int) -> list[Any]:
    from ropepp_eval.data import open_data
    from ropepp_eval.rows.building import frozen_rows
    from ropepp_eval.rows.catalogue import task_entries
    from ropepp_eval.rows.row import RowRequest
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    request = RowRequest(
        task=task, length_tokens=length, samples=samples, seed=42, protocol="reference", tokenizer=load_tokenizer(folder),
        data=open_data(None, offline=True),
    )  # fmt: skip
    return frozen_rows(request, task_entries()[task].build_rows())


def _ruler(folder: str, rows: int, length: int = LENGTH) -> list[Any]:
    """lm-eval's requests for rows of RULER, without the details that tell our adapter more than HFLM is told."""
    from lm_eval.api.instance import Instance

    settings = {"until": [], "do_sample": False}
    return [
        Instance("generate_until", {}, (row.prompt, {**settings, "max_gen_toks": row.max_new_tokens}), number)
        for number, row in enumerate(_rows(folder, "niah_single_2", length, rows))
    ]


def _choices(folder: str, questions: int, context_tokens: int = CONTEXT) -> list[Any]:
    """Four numbers after each of some contexts, the right one among them."""
    from lm_eval.api.instance import Instance

    found: list[Any] = []
    for row in _rows(folder, "niah_single_2", context_tokens, questions):
        numbers = [row.references[0], "1234567", "7654321", "8080808"]
        found += [
            Instance("loglikelihood", {}, (row.prompt, f" {number}"), len(found) + place)
            for place, number in enumerate(numbers)
        ]
    return found


def _short(folder: str) -> list[Any]:
    from lm_eval.api.instance import Instance

    pairs = [(row.prompt, choice) for row in _rows(folder, "openbookqa", LENGTH, SHORT) for choice in row.choices]
    return [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]


if __name__ == "__main__":
    raise SystemExit(main())
