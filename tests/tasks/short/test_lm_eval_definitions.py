"""Rows of protocol `reference` against lm-eval 0.4.13's own task objects, built on the same made records."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
import numpy as np
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.continuations import choice_scores
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer
from ropepp_eval.words import counted

LM_EVAL_TASKS = Path(lm_eval.tasks.__file__).parent
THEIRS = {
    "short_piqa": "piqa/piqa.yaml",
    "short_hellaswag": "hellaswag/hellaswag.yaml",
    "short_winogrande": "winogrande/default.yaml",
    "short_arc_easy": "arc/arc_easy.yaml",
    "short_gpqa": "gpqa/zeroshot/gpqa_diamond_zeroshot.yaml",
    "short_siqa": "siqa/siqa.yaml",
    "short_truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "short_truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    **{
        f"super_glue_{part}": f"super_glue/{part}/default.yaml"
        for part in ("boolq", "cb", "copa", "multirc", "rte", "wic", "wsc")
    },
}
TRUTHS = [
    {
        "question": f"Is {{it}} {number}?  ",
        "mc1_targets": {"choices": ["No.", "Yes.", "{{no}}"], "labels": [1, 0, 0]},
        "mc2_targets": {"choices": ["No.", "Not at all", "Yes.", "x"], "labels": [1, 1, 0, number % 2]},
    }
    for number in range(3)
]
DOCS: dict[str, list[dict[str, Any]]] = {
    "short_piqa": [
        {"goal": "open a jar", "sol1": "turn the lid", "sol2": "paint the whole lid", "label": 0},
        {"goal": "say {sol2}\n", "sol1": "{goal}", "sol2": ' it\'s "no" \\n {{label}}', "label": 1},
    ],
    "short_hellaswag": [
        {
            "activity_label": "Baking [title] Cakes",
            "ctx_a": "A man  stands. [header] How to [step] bake",
            "ctx_b": "the Cake",
            "endings": ["rises  well. [title] Then", "[substeps] falls.", "stays", "is a cake"],
            "label": "1",
        },
        {"activity_label": "x", "ctx_a": "", "ctx_b": "", "endings": ["{query}", "b ", "  c", ""], "label": "2"},
    ],
    "short_winogrande": [
        {"sentence": "The _ is in the _, says Ann.", "option1": "cup", "option2": "large box", "answer": "2"},
        {"sentence": "_ fell {beginning}.", "option1": "It", "option2": "She", "answer": "1"},
    ],
    "short_arc_easy": [
        {
            "id": "three",
            "question": "Is {D} cold?",
            "choices": {"text": ["a b", "c", "{{d}}"], "label": ["1", "2", "3"]},
            "answerKey": "2",
        },
        {"id": "five", "question": "Which?", "choices": {"text": list("vwxyz"), "label": list("ABCDE")}, "answerKey": "E"},
    ],
    "short_gpqa": [
        {
            "Question": f" Q{number}, {{A}}\nwhich? ",
            "Correct Answer": " the  right one",
            "Incorrect Answer 1": "one\n",
            "Incorrect Answer 2": "two [title] and more",
            "Incorrect Answer 3": "three",
        }
        for number in range(6)
    ],
    "short_siqa": [
        {
            "context": "Ann left.",
            "question": "Why?",
            "answerA": "x",
            "answerB": "so {context}",
            "answerC": "no",
            "label": "3",
        },
        {"context": "", "question": "What?", "answerA": "", "answerB": "one", "answerC": "two", "label": "1"},
    ],
    "short_truthfulqa_mc1": TRUTHS,
    "short_truthfulqa_mc2": TRUTHS,
    "super_glue_boolq": [
        {"question": "is {it} so", "passage": "It is.\n", "label": 1},
        {"question": "is it", "passage": "{question} No.", "label": 0},
    ],
    "super_glue_cb": [{"premise": f"p{label}", "hypothesis": "{premise} h.", "label": label} for label in range(3)],
    "super_glue_copa": [
        {"premise": "It rained. ", "choice1": "Wet it was.", "choice2": "ICE.", "question": "effect", "label": 0},
        {"premise": "It fell!", "choice1": "A push.", "choice2": "{word}", "question": "cause", "label": 1},
    ],
    "super_glue_multirc": [
        {"paragraph": "Ann's book.", "question": "Whose?", "answer": "'Ann' \\n \\x41 {question}", "label": 1},
        {"paragraph": "Ann's book.", "question": "Whose?", "answer": "Bob \"B\" said ''", "label": 0},
    ],
    "super_glue_rte": [{"premise": "p", "hypothesis": f"{{premise}} h{label}.", "label": label} for label in range(2)],
    "super_glue_wic": [
        {"sentence1": "He banks it.", "sentence2": "A bank.", "start1": 3, "end1": 8, "start2": 2, "end2": 6, "label": 0},
        {"sentence1": "{said} run", "sentence2": "A run.", "start1": 7, "end1": 10, "start2": 2, "end2": 5, "label": 1},
    ],
    "super_glue_wsc": [
        {
            "text": "Old Tom ,  he said , wo n't go .",
            "span1_text": "Old Tom",
            "span2_text": "he",
            "span1_index": 0,
            "span2_index": 3,
            "label": 1,
        },
        {"text": "She saw it", "span1_text": "{noun}", "span2_text": "it", "span1_index": 0, "span2_index": 2, "label": 0},
    ],
}
NAMES = {"super_glue_cb": ("entailment", "contradiction", "neutral"), "super_glue_rte": ("entailment", "not_entailment")}
FILES = {"boolq": "BoolQ", "cb": "CB", "copa": "COPA", "rte": "RTE", "wic": "WiC", "wsc": "WSC"}


def write_files(folder: Path) -> Path:
    """The records as files of the data folder."""

    def lines(records: list[Any]) -> str:
        return "".join(json.dumps(record) + "\n" for record in records)

    table = io.StringIO()
    written = csv.writer(table)
    written.writerow(["", *"abcdef", "Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))])
    for doc in DOCS["short_gpqa"]:
        written.writerow([*[""] * 7, *doc.values()])
    science = [
        {
            "id": doc["id"],
            "question": {
                "stem": doc["question"],
                "choices": [
                    {"text": text, "label": label}
                    for text, label in zip(doc["choices"]["text"], doc["choices"]["label"], strict=True)
                ],
            },
            "answerKey": doc["answerKey"],
        }
        for doc in DOCS["short_arc_easy"]
    ]
    files = {
        "piqa/dev.jsonl": lines(DOCS["short_piqa"]),
        "piqa/dev-labels.lst": "".join(f"{doc['label']}\n" for doc in DOCS["short_piqa"]),
        "hellaswag/hellaswag.jsonl": lines(DOCS["short_hellaswag"]),
        "winogrande/dev.jsonl": lines(DOCS["short_winogrande"]),
        "ARC/ARC-e/ARC-Easy-Test.jsonl": lines(science),
        "gpqa/gpqa_diamond.csv": table.getvalue(),
        "siqa/dev.jsonl": lines(DOCS["short_siqa"]),
        "siqa/dev-labels.lst": "".join(f"{doc['label']}\n" for doc in DOCS["short_siqa"]),
        "truthful_qa/multiple_choice.jsonl": lines(TRUTHS),
    }
    for part, name in FILES.items():
        files[f"SuperGLUE/{name}/val.jsonl"] = lines([in_the_file(part, doc) for doc in DOCS[f"super_glue_{part}"]])
    answers = [{"text": doc["answer"], "label": doc["label"]} for doc in DOCS["super_glue_multirc"]]
    passage = {"text": "Ann's book.", "questions": [{"question": "Whose?", "answers": answers}]}
    files["SuperGLUE/MultiRC/val.jsonl"] = lines([{"idx": 0, "passage": passage}])
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def in_the_file(part: str, doc: dict[str, Any]) -> dict[str, Any]:
    """A record of the hub's table as the official file has it."""
    names = NAMES.get(f"super_glue_{part}")
    label = names[doc["label"]] if names else doc["label"] if part == "copa" else bool(doc["label"])
    if part != "wsc":
        return {**doc, "label": label}
    return {"text": doc["text"], "target": {name: doc[name] for name in doc if "span" in name}, "label": label}


def lm_evals(task: str) -> ConfigurableTask:
    """lm-eval's own task on the records; documents are processed once, from lm-eval's default seed."""
    config = load_yaml(LM_EVAL_TASKS / THEIRS[task])
    docs = datasets.Dataset.from_list(DOCS[task])
    random.seed(0)
    process = config.pop("process_docs", None)
    processed = docs if process is None else process(docs)
    splits = {config.get(name) for name in ("training_split", "validation_split", "test_split")} - {None}
    config["custom_dataset"] = lambda **_: dict.fromkeys(splits, processed)
    return ConfigurableTask(config=config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("records"))


def request_of(task: str, tokenizer: Tokenizer, folder: Path | None, **other: Any) -> RowRequest:
    given = {"length_tokens": 4096, "samples": 100, "seed": 42, "protocol": "reference", **other}
    return RowRequest(task=task, tokenizer=tokenizer, data=open_data(folder), **given)


@pytest.mark.parametrize("task", THEIRS)
def test_requests_and_scores_are_lm_evals(task: str, folder: Path, bytes_tokenizer: Tokenizer) -> None:
    theirs = lm_evals(task)
    docs = list(theirs.validation_docs() if theirs.config.test_split is None else theirs.test_docs())
    rows = task_entries()[task].build_rows()(request_of(task, bytes_tokenizer, folder))
    assert len(rows) == len(docs) == len(DOCS[task])
    stream = random.Random(1)
    for row, doc in zip(rows, docs, strict=True):
        context = theirs.doc_to_choice(doc) if theirs.multiple_input else theirs.doc_to_text(doc)
        wanted = theirs.construct_requests(doc, context, metadata=(task, 0, 1))
        ours = requests_of(row, "multiple_choice", {}, doc=row.as_doc())
        assert [one.args for one in ours] == [one.args for one in wanted]
        for _ in range(8):
            responses = [(-stream.choice([1.0, 2.0, stream.random() * 40]), False) for _ in ours]
            with np.errstate(divide="ignore"):  # an empty choice has no characters
                scores = theirs.process_results(doc, responses)
            wanted_scores = {name: float(score) for name, score in scores.items() if name != "f1"}  # of CB, over all rows
            assert choice_scores(row, responses) == pytest.approx(wanted_scores)


@pytest.mark.parametrize("task", THEIRS)
def test_generated_text_stands_in_without_a_data_folder(task: str, bytes_tokenizer: Tokenizer) -> None:
    rows = task_entries()[task].build_rows()(request_of(task, bytes_tokenizer, None, samples=5))
    assert len(rows) == 5
    assert all(row.stand_in and len(row.choices) > 1 for row in rows)
    assert all((row.gold is None) == (task == "short_truthfulqa_mc2") for row in rows)


def test_cleaned_records_of_hellaswag_are_taken_as_they_are(tmp_path: Path, bytes_tokenizer: Tokenizer) -> None:
    (tmp_path / "hellaswag").mkdir()
    record = {"query": "Cooking: He  boils", "choices": ["a", "b", "c", "d"], "gold": 2}
    (tmp_path / "hellaswag/hellaswag.jsonl").write_text(json.dumps(record))
    (row,) = task_entries()["short_hellaswag"].build_rows()(request_of("short_hellaswag", bytes_tokenizer, tmp_path))
    assert (row.prompt, row.choices, row.gold) == ("Cooking: He  boils", (" a", " b", " c", " d"), 2)


@pytest.mark.parametrize(
    ("task", "protocol", "file", "content", "said"),
    [
        ("short_truthfulqa_mc1", "paper", "x", "x", "task short_truthfulqa_mc1 is not of this protocol"),
        ("short_truthfulqa", "reference", "x", "x", "task short_truthfulqa is not of this protocol"),
        (
            "short_truthfulqa_mc2",
            "reference",
            "truthful_qa/multiple_choice.jsonl",
            json.dumps({**TRUTHS[0], "mc2_targets": {"choices": ["a", "b"], "labels": [0, 0]}}),
            "multiple_choice.jsonl:1: mc2_targets has 2 choices, 2 labels and 0 of them 1",
        ),
        ("short_hellaswag", "reference", "hellaswag/hellaswag.jsonl", '{"ind": 4}', "hellaswag.jsonl:1 has neither ctx_a"),
        (
            "short_hellaswag",
            "reference",
            "hellaswag/hellaswag.jsonl",
            json.dumps({**DOCS["short_hellaswag"][0], "label": "4"}),
            "hellaswag.jsonl:1: label is '4'; it must be '0', '1', '2' or '3'",
        ),
        *(
            (
                "short_hellaswag",
                "reference",
                "hellaswag/hellaswag.jsonl",
                json.dumps({**DOCS["short_hellaswag"][0], "label": "0", "endings": ["left"][:left]}),
                f"hellaswag.jsonl:1: {counted(left, 'choice')} for label; it must be one of 2 or more",
            )
            for left in (0, 1)
        ),
    ],
)
def test_what_can_not_be_asked_is_one_line(
    task: str, protocol: str, file: str, content: str, said: str, tmp_path: Path, bytes_tokenizer: Tokenizer
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError) as caught:
        task_entries()[task].build_rows()(request_of(task, bytes_tokenizer, tmp_path, protocol=protocol))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
