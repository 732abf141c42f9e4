"""Models of transformers' own classes run in vLLM through its own implementation, from the same checked files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.vllm import VllmLM
from ropepp_eval.adapters.vllm.arguments import check_architecture
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.ids import Tokenizer
from tests.adapters.families import FAMILIES
from tests.adapters.toys import Letters, instances
from tests.vllm.tiny import TOLERANCE

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
BOOK = "the book says that who reads it knows what it is; "
HEADS = {"head_dim": 32, "hidden_size": 128}
"""vLLM's kernels want heads of 32 and more."""


def saved(name: str, folder: Path, **changes: Any) -> Path:
    family = next(family for family in FAMILIES if family.name == name)
    return dataclasses.replace(family, settings={**family.settings, **changes}).save(folder)


@pytest.mark.parametrize("name", ["Qwen3", "Gemma 3"])
def test_both_engines_give_the_same_answers(name: str, tmp_path: Path) -> None:
    folder, tokenizer = saved(name, tmp_path / "model", **HEADS), Tokenizer(Letters(), "")
    requests = [
        *instances("loglikelihood", (BOOK * 2 + "who", " a"), (BOOK, " bbb")),
        *instances("generate_until", (BOOK * 2, {"max_gen_toks": 10})),
    ]
    common: dict[str, Any] = {"tokenizer": tokenizer, "dtype": "float32", "max_length": 256}
    expected = dict(NativeLM(str(folder), **common).answers(requests))
    vllm = VllmLM(str(folder), enforce_eager=True, **common)
    found = dict(vllm.answers(requests))
    vllm.close()
    for number in (0, 1):
        tokens = expected[number].new_tokens
        assert found[number].response[0] == pytest.approx(expected[number].response[0], abs=TOLERANCE * tokens)
    assert found[2].response == expected[2].response


@pytest.mark.parametrize("name", ["Jamba", "Llama, dynamic NTK", "Falcon"])
def test_what_vllm_would_compute_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use --backend native"):
        check_architecture(read_checkpoint(saved(name, tmp_path / "model"), None))
