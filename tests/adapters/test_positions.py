"""Every position embedding gets the same scores and texts batched, chunked and shared as one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ropepp_eval
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.adapters.native.forward import takes_packed_branches
from tests.adapters.toys import instances, slow_generate, slow_score

FOLDERS = ["rope", "ropepp_eh", "ropepp_ec", "ropepp_ec_yarn32", "ropepp_eh_pi8", "fope", "pythia", "alibi", "alibi_12h"]


class Numbers:
    """A tokenizer whose tokens are written as letters; the golden checkpoints have 64 entries and no tokenizer."""

    bos_token_id = 62
    eos_token_id = 63
    name_or_path = "numbers"

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [ord(letter) - 59 for letter in text]

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(i + 59) for i in ids if i < 62 or not skip_special_tokens)


def build(golden: Path, folder: str, kernel: str, **settings: Any) -> NativeLM:
    model = ropepp_eval.load_checkpoint(golden / folder, dtype="float32", attention=kernel)
    return NativeLM.from_objects(model, Numbers(), **settings)


def text(length: int, seed: int) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return "".join(chr(i + 59) for i in torch.randint(0, 62, (length,)).tolist()).replace(" ", "A")


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_shared_and_chunked_scores_equal_one_by_one_scores(golden: Path, folder: str, kernel: str) -> None:
    lm = build(golden, folder, kernel, chunk_tokens=100)
    book = text(600, 0)
    pairs = [(book + text(n, n), text(m, m)) for n in (3, 20) for m in (1, 4, 9)] + [(text(30, 5), text(3, 6))]
    answers = dict(lm.answers(instances("loglikelihood", *pairs)))
    for number, (context, continuation) in enumerate(pairs):
        value, _ = slow_score(lm.model, *lm.encoder.pair(context, continuation))
        assert answers[number].response[0] == pytest.approx(value, abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_rows_of_unequal_lengths_are_generated_as_alone(golden: Path, folder: str, kernel: str) -> None:
    lm = build(golden, folder, kernel, chunk_tokens=64)
    prompts = [text(n, n) for n in (300, 290, 40, 39, 7)]
    answers = dict(lm.answers(instances("generate_until", *[(p, {"max_gen_toks": 8}) for p in prompts])))
    for number, prompt in enumerate(prompts):
        expected = slow_generate(lm.model, lm.tokenizer.encode(prompt), 8, end=63)
        assert answers[number].response == lm.tokenizer.decode(expected, skip_special_tokens=True)


def test_branches_are_packed_except_where_a_bias_depends_on_distance(golden: Path) -> None:
    folders = ("rope", "ropepp_ec", "fope", "alibi")
    packs = {folder: takes_packed_branches(build(golden, folder, "sdpa").model) for folder in folders}
    assert packs == {"rope": True, "ropepp_ec": True, "fope": True, "alibi": False}


def test_the_cache_of_equal_heads_is_half_and_of_equal_cache_the_same(golden: Path) -> None:
    size = {name: build(golden, name, "sdpa").shapes.kv_bytes(1, 4) for name in ("rope", "ropepp_eh", "ropepp_ec")}
    assert size["ropepp_eh"] * 2 == size["rope"] == size["ropepp_ec"]
