"""A data folder of a few made records in OpenCompass's layout, and a tokenizer whose ids can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.tokens.tokenizer import Tokenizer

FILES: dict[str, Any] = {
    "piqa/dev.jsonl": [
        {"id": "1", "goal": "open a jar", "sol1": "turn the lid", "sol2": "paint the lid"},
        {"goal": "say {sol2}", "sol1": "{goal}", "sol2": "no {label}"},
    ],
    "piqa/dev-labels.lst": "0\n1\n",
    "hellaswag/hellaswag.jsonl": [
        {"query": "Cooking: Note: he boils an egg. He", "choices": ["eats it.", "", "sings.", "eats it."], "gold": 2},
        {"query": "x: : ", "choices": ["a", "b", "c", "d"], "gold": 0},
    ],
    "winogrande/dev.jsonl": [
        {"qID": "q1", "sentence": "The _ is in the _.", "option1": "cup", "option2": "box", "answer": "2"},
        {"qID": "q2", "sentence": "{cont} _ fell.", "option1": "It", "option2": "She", "answer": ""},
    ],
    "ARC/ARC-e/ARC-Easy-Dev.jsonl": [
        {
            "id": "three",
            "question": {"stem": "Left out?", "choices": [{"text": str(n), "label": str(n)} for n in (1, 2, 3)]},
            "answerKey": "1",
        },
        {
            "id": "four",
            "question": {"stem": "Is ice cold?", "choices": [{"text": t, "label": str(n)} for n, t in enumerate("nyab", 1)]},
            "answerKey": "2",
        },
    ],
    "gpqa/gpqa_diamond.csv": "a,b,c,d,e,f,g,Question,Correct,W1,W2,W3\n"
    + "".join(f',,,,,,,"Q{n}, which?",right,one,two,three\n' for n in range(1, 5)),
    "siqa/dev.jsonl": [
        {"context": "", "question": "Why?", "answerA": "", "answerB": "so", "answerC": "no"},
    ],
    "siqa/dev-labels.lst": "3\n",
    "openbookqa/Main/test.jsonl": [
        {
            "id": "7-1",
            "question": {
                "stem": "{D} is",
                "choices": [{"text": t, "label": a} for t, a in zip("pqrs", "ABCD", strict=True)],
            },
            "answerKey": "C",
        },
    ],
    "openbookqa/Additional/test_complete.jsonl": [
        {
            "id": "7-1",
            "question": {"stem": "It is", "choices": [{"text": t, "label": a} for t, a in zip("pqrs", "ABCD", strict=True)]},
            "answerKey": "C",
            "fact1": "r it is",
        },
    ],
    "SuperGLUE/BoolQ/val.jsonl": [
        {"question": "is it", "passage": "It is {idx} {answer}.", "idx": 7, "label": "true"},
        {"question": "is it?", "passage": "No.", "idx": 8, "label": "True"},
    ],
    "SuperGLUE/CB/val.jsonl": [{"premise": "", "hypothesis": "h", "label": "neutral", "idx": 0}],
    "SuperGLUE/COPA/val.jsonl": [
        {"premise": "It rained.", "choice1": "wet", "choice2": "", "question": "effect", "label": 0, "idx": 0}
    ],
    "SuperGLUE/MultiRC/val.jsonl": [
        {
            "idx": 0,
            "passage": {
                "text": "T.",
                "questions": [
                    {"question": "Q1?", "answers": [{"text": "{idx}", "label": 1}]},
                    {"question": "Q2?", "answers": [{"text": "b", "label": 0}, {"text": "{idx}", "label": 1}]},
                ],
            },
        }
    ],
    "SuperGLUE/ReCoRD/val.jsonl": [
        {
            "passage": {"text": "Ann met Bob.\n@highlight\nBob won. {answers}"},
            "qas": [{"query": "@placeholder won", "answers": [{"text": "Bob"}, {"text": "the Bob"}]}],
        }
    ],
    "SuperGLUE/RTE/val.jsonl": [{"premise": "{hypothesis}", "hypothesis": "{label}", "label": "entailment", "idx": 0}],
    "SuperGLUE/WiC/val.jsonl": [{"word": "bank", "sentence1": "A.", "sentence2": "B.", "idx": 0, "label": "false"}],
    "SuperGLUE/WSC/val.jsonl": [
        {
            "text": "Old Tom,  he said, left.",
            "target": {"span1_index": 0, "span1_text": "Old Tom", "span2_index": 3, "span2_text": "he"},
            "idx": 0,
            "label": "true",
        },
        {
            "text": "a b c d",
            "target": {"span1_index": 1, "span1_text": "b c", "span2_index": 2, "span2_text": "c d"},
            "idx": 1,
            "label": "false",
        },
    ],
    "SuperGLUE/AX-b/AX-b.jsonl": [{"sentence1": "s", "sentence2": "t", "logic": "", "label": "not_entailment", "idx": 0}],
    "SuperGLUE/AX-g/AX-g.jsonl": [{"premise": "p", "hypothesis": "", "label": "entailment", "idx": 0, "pair_id": 1}],
    "truthful_qa/validation.jsonl": [
        {"question": "Is {reference}it so?", "correct_answers": ["No", " "], "incorrect_answers": ["Yes", ""]}
    ],
}


def write_data(folder: Path, **changed: Any) -> Path:
    """The data folder; `changed` holds the content of files in the place of the usual."""
    for name, content in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            content if isinstance(content, str) else "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content)
        )
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def made_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def bytes_tokenizer() -> Tokenizer:
    """One token a byte: its id is its place among the 256 signs that stand for bytes, in code point order (`!` is 0, newline 198)."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE(vocab={symbol: number for number, symbol in enumerate(alphabet)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    wrapped: Any = PreTrainedTokenizerFast(tokenizer_object=fast)
    return Tokenizer(wrapped, "bytes")
