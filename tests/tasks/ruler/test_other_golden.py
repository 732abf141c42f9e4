"""vt, cwe, fwe and qa: the same choices give the text of RULER, and of OpenCompass, to the byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.tasks.ruler.cwe import CweChoices, render_cwe
from ropepp_eval.tasks.ruler.documents import Corpus, read_corpus
from ropepp_eval.tasks.ruler.fwe import FweChoices, render_fwe
from ropepp_eval.tasks.ruler.qa import QaChoices, render_qa
from ropepp_eval.tasks.ruler.settings import settings
from ropepp_eval.tasks.ruler.vt import VtChoices, render_example, render_vt


def rows_of(path: Path, task: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["task"] == task]


def vt_prompt(row: dict[str, Any], protocol: str, corpus: Corpus | None) -> str:
    golden, texts = row["choices"], settings(protocol)["vt"]
    example = ""
    if "icl_variables" in golden:  # its names were replaced after it was made
        before = golden["icl_before_renaming"]
        example = render_example(
            VtChoices(
                variables=tuple(golden["icl_variables"]),
                value=golden["icl_value"],
                positions=tuple(before["insert_positions"]),
                lines=before["haystack_units"],
            ),
            texts,
        )
    choices = VtChoices(
        variables=tuple(golden["variables"][0]),
        value=golden["value"],
        positions=tuple(golden["insert_positions"]),
        lines=golden["haystack_units"],
    )
    return example + render_vt(choices, texts)[0]


def cwe_prompt(row: dict[str, Any], protocol: str, corpus: Corpus | None) -> str:
    golden = row["choices"]
    example = CweChoices(
        common=tuple(golden["example_common"]),
        uncommon=tuple(golden["example_uncommon"]),
        common_repeats=golden["repeats"]["example"][0],
        uncommon_repeats=golden["repeats"]["example"][1],
        shuffle_seed=row["random_seed"],
    )
    choices = CweChoices(
        common=tuple(golden["common"]),
        uncommon=tuple(golden["uncommon"]),
        common_repeats=golden["repeats"]["main"][0],
        uncommon_repeats=golden["repeats"]["main"][1],
        shuffle_seed=row["random_seed"],
    )
    return render_cwe(example, choices, settings(protocol)["cwe"])


def fwe_prompt(row: dict[str, Any], protocol: str, corpus: Corpus | None) -> str:
    golden = row["choices"]
    choices = FweChoices(vocabulary=tuple(golden["vocab"]), words=golden["num_words"], shuffle_seed=row["random_seed"])
    counts = choices.counts()
    assert counts == golden["counts"][: len(counts)]
    assert not any(golden["counts"][len(counts) :])
    return render_fwe(choices, settings(protocol)["fwe"])


def qa_prompt(row: dict[str, Any], protocol: str, corpus: Corpus | None) -> str:
    assert corpus is not None
    golden = row["choices"]
    question = corpus.questions[golden["qa_index"]]
    assert list(question.gold) == golden["gold_doc_indexes"]
    choices = QaChoices(documents=tuple(golden["doc_indexes_in_order"]), question=question)
    return render_qa(choices, corpus, settings(protocol)["qa"])[0]


PROMPTS: dict[str, Callable[[dict[str, Any], str, Corpus | None], str]] = {
    "vt": vt_prompt, "cwe": cwe_prompt, "fwe": fwe_prompt, "qa_1": qa_prompt, "qa_2": qa_prompt, "qa_squad": qa_prompt,
}  # fmt: skip
OUR_NAMES = {"qa_1": "qa_squad", "qa_2": "qa_hotpotqa"}


def corpus_of(task: str, request: pytest.FixtureRequest) -> Corpus | None:
    name = OUR_NAMES.get(task, task)
    return read_corpus(name, open_data(request.getfixturevalue("data_dir")), 4096) if name.startswith("qa_") else None


@pytest.mark.parametrize("task", ["vt", "cwe", "fwe", "qa_1", "qa_2"])
def test_golden_choices_give_the_reference_prompt(task: str, golden_tasks: Path, request: pytest.FixtureRequest) -> None:
    rows = rows_of(golden_tasks / "ruler/rows.jsonl", task)
    assert len(rows) == 4
    for row in rows:
        prompt = PROMPTS[task](row, "reference", corpus_of(task, request))
        assert hashlib.sha256(prompt.encode()).hexdigest() == row["prompt_sha256"]


@pytest.mark.parametrize("task", ["vt", "cwe", "fwe", "qa_squad"])
def test_golden_choices_give_the_prompt_behind_the_papers_tables(
    task: str, golden_tasks: Path, request: pytest.FixtureRequest
) -> None:
    rows = rows_of(golden_tasks / "opencompass/rows.jsonl", task)
    assert len(rows) == 2
    for row in rows:
        prompt = PROMPTS[task](row, "paper", corpus_of(task, request))
        assert hashlib.sha256((prompt + "\n\n").encode()).hexdigest() == row["model_input_sha256"]
