"""Table 1's tasks against OpenCompass 0.4.2's own prompts, losses, predictions and aggregates, at batch size 1."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.ranking import mean_losses, ranking_scores
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.short.bleu import truth_scores
from ropepp_eval.tasks.super_glue.entities import entity_scores, first_line, normalised
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.conftest import MakeRequest, read_jsonl
from tests.tasks.ranking import ArithmeticLM, responses_of

RANKED = {
    "piqa": "short_piqa",
    "hellaswag": "short_hellaswag",
    "winogrande": "short_winogrande",
    "arc_easy": "short_arc_easy",
    "gpqa": "short_gpqa",
    "siqa": "short_siqa",
    "openbookqa": "openbookqa",
    "openbookqa_fact": "openbookqa_fact",
    **{part: f"super_glue_{part}" for part in ("boolq", "cb", "copa", "multirc", "rte", "wic", "wsc", "ax_b", "ax_g")},
}


@pytest.fixture(scope="module")
def golden(reference_tasks: Path) -> Path:
    folder = reference_tasks / "opencompass_short"
    if not folder.is_dir():
        pytest.skip("no reference files of the short tasks")
    return folder


@functools.lru_cache(maxsize=64)
def rows_of(make_request: Any, task: str, data: Path) -> list[Row]:
    request = make_request(task, 4096, samples=100, protocol="paper", data=data)
    return task_entries()[task].build_rows()(request)


def ranked(row: Row, responses: list[Any]) -> dict[str, Any]:
    """What our row says in the words of the reference's."""
    losses, labels = mean_losses(row, responses), row.details["labels"]
    return {
        "prompts": [row.prompt + choice for choice in row.choices],
        "labels": labels,
        "prediction": labels[losses.index(min(losses))],
        "correct": bool(ranking_scores(row, responses)["acc"]),
    }


def expected_of(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompts": sample["prompts"],
        "labels": [str(label) for label in sample["labels"]],
        "prediction": str(sample["prediction_batch1"]),
        "correct": sample["correct_batch1"],
    }


@pytest.mark.parametrize("name", RANKED)
def test_prompts_losses_predictions_and_accuracy_are_the_references(
    name: str, golden: Path, make_request: MakeRequest, gpt2_tokenizer: Tokenizer
) -> None:
    rows, samples = rows_of(make_request, RANKED[name], golden / "input" / "data"), read_jsonl(golden / f"{name}.jsonl")
    lm, right = ArithmeticLM(gpt2_tokenizer), 0.0
    for row, sample in zip(rows, samples, strict=True):
        responses = responses_of(row, lm, gpt2_tokenizer)
        assert ranked(row, responses) == expected_of(sample), f"row {row.row}"
        assert mean_losses(row, responses) == pytest.approx(sample["loss_batch1"], abs=1e-12)
        right += ranking_scores(row, responses)["acc"]
    accuracy = json.loads((golden / "aggregate.json").read_text("utf-8"))[name]["accuracy"]["batch1"]
    assert 100 * right / len(rows) == pytest.approx(accuracy, abs=1e-12)


def test_boolq_with_json_booleans_has_no_right_yes_as_in_the_reference(
    golden: Path, make_request: MakeRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "SuperGLUE" / "BoolQ"
    folder.mkdir(parents=True)
    content = (golden / "input/data/SuperGLUE/BoolQ/val_json_booleans.jsonl").read_bytes()
    (folder / "val.jsonl").write_bytes(content)
    rows = rows_of(make_request, "super_glue_boolq", tmp_path)
    samples = read_jsonl(golden / "boolq_json_booleans.jsonl")
    assert [[row.prompt + choice for choice in row.choices] for row in rows] == [sample["prompts"] for sample in samples]
    assert [row.gold for row in rows] == [sample["gold"] for sample in samples] == [0, 0, 0, 0]
    assert "JSON booleans" in rows[0].details["left_out"]


def test_with_a_bos_every_token_of_the_text_is_scored_and_a_cut_keeps_the_bos(
    golden: Path, make_request: MakeRequest, gpt2_tokenizer_dir: Path
) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast.from_pretrained(gpt2_tokenizer_dir, bos_token="<|bos|>")
    fast.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", fast.bos_token_id)]
    )
    tokenizer = Tokenizer(fast, "with BOS")
    lm, cut = ArithmeticLM(tokenizer), 0
    samples = read_jsonl(golden / "with_bos.jsonl")
    for name in dict.fromkeys(sample["dataset"] for sample in samples):
        request = make_request(RANKED[name], 4096, samples=100, protocol="paper", data=golden / "input" / "data")
        rows = task_entries()[RANKED[name]].build_rows()(replace(request, tokenizer=tokenizer))
        for row, sample in zip(rows, [one for one in samples if one["dataset"] == name], strict=True):
            losses = mean_losses(row, responses_of(row, lm, tokenizer))
            assert losses == pytest.approx(sample["loss_batch1"], abs=1e-12)
            cut += max(sample["n_tokens_used"]) == 2048
    assert fast.bos_token_id == 50257
    assert cut > 0


def test_losses_of_a_real_model_are_the_references(
    golden: Path, make_request: MakeRequest, golden_lm: Any, gpt2_tokenizer: Tokenizer
) -> None:
    for sample in read_jsonl(golden / "tiny_model.jsonl"):
        row = rows_of(make_request, RANKED[sample["dataset"]], golden / "input" / "data")[sample["row"]]
        responses = responses_of(row, golden_lm, gpt2_tokenizer)
        assert mean_losses(row, responses) == pytest.approx(sample["loss_batch1"], abs=1e-4)


def test_truthfulqa_has_the_references_prompts_and_scores(golden: Path, make_request: MakeRequest) -> None:
    rows = rows_of(make_request, "short_truthfulqa", golden / "input" / "data")
    scores = []
    for row, sample in zip(rows, read_jsonl(golden / "truthfulqa.jsonl"), strict=True):
        assert (row.prompt, row.max_new_tokens) == (sample["prompt"], 64)
        found = truth_scores(row, [sample["generation"]])
        if sample["counted"]:
            assert {name: round(value, 4) for name, value in found.items()} == sample["scores"]
            scores.append(found)
        else:
            assert set(found.values()) == {None}
    expected = json.loads((golden / "aggregate.json").read_text("utf-8"))["truthfulqa"]
    means = {name: round(sum(one[name] for one in scores) / len(scores), 4) for name in scores[0]}
    assert means == {name: expected["scores"][name] for name in means}
    assert len(scores) == expected["n_counted"]


def test_record_has_the_references_prompts_and_scores(golden: Path, make_request: MakeRequest) -> None:
    rows, right = rows_of(make_request, "super_glue_record", golden / "input" / "data"), 0.0
    for row, sample in zip(rows, read_jsonl(golden / "record.jsonl"), strict=True):
        assert (row.prompt, list(row.references)) == (sample["prompt"], sample["answers"])
        assert first_line(sample["generation"]) == sample["postprocessed"]
        assert normalised(sample["postprocessed"]) == sample["normalised"]
        assert [normalised(answer) for answer in row.references] == sample["answers_normalised"]
        score = entity_scores(row, [sample["generation"]])["acc"]
        assert score == float(sample["correct"])
        right += score
    assert 100 * right / len(rows) == pytest.approx(
        json.loads((golden / "aggregate.json").read_text("utf-8"))["record"]["score"]
    )
