"""A tokenizer with Llama 3's pattern and BOS, on text like essays: every length that holds a row has one that fills it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from ropepp_eval.data import open_data
from ropepp_eval.errors import LengthTooShort
from ropepp_eval.rows.building import check_budget, with_special_tokens
from ropepp_eval.rows.row import RowRequest
from ropepp_eval.tasks.ruler.build import build_chunk, build_rows
from ropepp_eval.text.filler import filler_sentences
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tokens.tokenizers_to_try import like_llama3

TASKS = ("niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multivalue", "niah_multiquery")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    backend: Backend = like_llama3().backend
    backend.add_special_tokens(["<|begin_of_text|>"])
    bos = backend.token_to_id("<|begin_of_text|>")
    backend.post_processor = TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)])
    return Tokenizer(SimpleNamespace(backend_tokenizer=backend, bos_token_id=bos), "like Llama 3, with BOS")


@pytest.fixture(scope="module")
def essays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Essays as they are: paragraphs, dashes, quotes, double blanks, footnotes, lists of short lines, words that run on."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "essays").mkdir()
    for number in range(6):
        sentences = filler_sentences("essay", number)
        (folder / "essays" / f"essay-{number}.txt").write_text("\n\n".join(_paragraphs(sentences)), encoding="utf-8")
    return folder


def _paragraphs(sentences: Iterator[str]) -> Iterator[str]:
    for number in range(40):
        words = " ".join(next(sentences) for _ in range(5)).split()
        yield (
            f"{number}. “{words[0]}”—it isn't so.  [{number}]  {' '.join(words[1:])} (cf. p. {number * 317}, "
            f"$1,{number:03},000)…\n* {words[3]}\n* {'-'.join(words[4:9])}\n\n{' '.join(words[9:]).upper() if number % 7 == 0 else ''}"
        )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("real", [False, True], ids=["made essays", "real essays"])
def test_no_length_above_the_smallest_that_fits_is_refused(
    task: str, real: bool, tokenizer: Tokenizer, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("data_dir" if real else "essays")
    protocol = "reference" if real else "paper"  # which needs no sentence model
    asked = RowRequest(
        task=task, length_tokens=100, samples=1, seed=42, protocol=protocol, tokenizer=tokenizer, data=open_data(folder)
    )
    with pytest.raises(LengthTooShort) as told:
        build_rows(asked)
    smallest = int(str(told.value).split()[-3])
    for length in sorted(
        {*range(smallest + 40, 5000, 263), 2048, 3000, 4021, 4096}
    ):  # other words are drawn at another length
        (built,) = build_chunk(replace(asked, length_tokens=length), range(1)).rows
        row = with_special_tokens(built, tokenizer)
        check_budget(row)
        assert row.prompt_tokens == len(tokenizer.prompt_ids(row.prompt))
        assert length < 2000 or row.prompt_tokens + row.max_new_tokens > 0.97 * length
