"""Table 1's tasks on made records, with prompts and losses written by hand; no reference file is needed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.data.check import check_folder
from ropepp_eval.data.prepare import prepare_from_folder
from ropepp_eval.errors import UserError
from ropepp_eval.rows.catalogue import resolve_tasks, task_entries
from ropepp_eval.rows.ranking import filled, joined_turns, mean_losses, ranking_scores, shared_words
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.short.bleu import bleu, tokens_13a, truth_scores
from ropepp_eval.tasks.super_glue.entities import entity_scores, first_line, normalised
from ropepp_eval.tokens.tokenizer import Tokenizer
from tests.tasks.ranking import ArithmeticLM, responses_of
from tests.tasks.short.conftest import write_data

NLI = "Is the sentence below entailed by the sentence above?"
EXPECTED: dict[str, list[tuple[list[str], int | None]]] = {
    "short_piqa": [
        (
            [
                "The following makes sense: \nQ: open a jar\nA: turn the lid\n",
                "The following makes sense: \nQ: open a jar\nA: paint the lid\n",
            ],
            0,
        ),
        (
            [
                "The following makes sense: \nQ: say no 1\nA: {goal}\n",  # whose turn was over
                "The following makes sense: \nQ: say no 1\nA: no 1\n",
            ],
            1,
        ),
    ],
    "short_hellaswag": [
        (
            [f"he boils an egg. He{end}" for end in ("\neats it.", "", "\nsings.", "\neats it.")],
            2,
        ),
        (["\na", "\nb", "\nc", "\nd"], 0),
    ],
    "short_winogrande": [
        (["Good sentence: The cup is in the cup.", "Good sentence: The box is in the box."], 1),
        (["Good sentence:  fell. It fell.", "Good sentence:  fell. She fell."], None),
    ],
    "short_arc_easy": [([f"Question: Is ice cold?\nAnswer: \n{text}" for text in "nyab"], 1)],
    "short_gpqa": [
        (
            [
                f"Question: Q{n}, which?\n(A){options[0]}\n(B){options[1]}\n(C){options[2]}\n(D){options[3]}\nAnswer: {letter}"
                for letter in "ABCD"
            ],
            options.index("right"),
        )
        for n, options in enumerate(
            [
                ("one", "two", "three", "right"),
                ("two", "three", "right", "one"),
                ("three", "right", "one", "two"),
                ("right", "one", "two", "three"),
            ],
            start=1,
        )
    ],
    "short_siqa": [(["\nQuestion: Why?\nAnswer:", "\nQuestion: Why?\nAnswer:\nso", "\nQuestion: Why?\nAnswer:\nno"], 2)],
    "openbookqa": [([f"Question: {{D}} is\nA. p\nB. q\nC. r\nD. s\nAnswer:\n{letter}" for letter in "ABCD"], 2)],
    "openbookqa_fact": [
        (
            [f"Given the fact: r it is\nQuestion: It is\nA. p\nB. q\nC. r\nD. s\nAnswer:\n{letter}" for letter in "ABCD"],
            2,
        )
    ],
    "super_glue_boolq": [
        (["It is 7 1.\nQuestion: is it?\nNo", "It is 7 1.\nQuestion: is it?\nYes"], 1),
        (["No.\nQuestion: is it??\nNo", "No.\nQuestion: is it??\nYes"], 0),
    ],
    "super_glue_cb": [
        (
            [
                f"\nh\nWhat is the relation between the two sentences?\n{label}"
                for label in ("Contradiction", "Entailment", "Neutral")
            ],
            2,
        )
    ],
    "super_glue_copa": [
        (
            [
                "It rained.\nQuestion: What may be the effect?\nAnswer:\nwet",
                "It rained.\nQuestion: What may be the effect?\nAnswer:",
            ],
            0,
        )
    ],
    "super_glue_multirc": [
        ([f"T.\nQuestion: Q1?\nAnswer: 0\nIs it true?\n{said}" for said in ("No, it is false.", "Yes, it is true.")], 1),
        ([f"T.\nQuestion: Q2?\nAnswer: b\nIs it true?\n{said}" for said in ("No, it is false.", "Yes, it is true.")], 0),
        ([f"T.\nQuestion: Q2?\nAnswer: 2\nIs it true?\n{said}" for said in ("No, it is false.", "Yes, it is true.")], 1),
    ],
    "super_glue_rte": [([f"entailment\nentailment\n{NLI}\n{said}" for said in ("Yes", "No")], 0)],
    "super_glue_wic": [
        (
            [
                f"Sentence 1: A.\nSentence 2: B.\n'bank' in the above two sentenses are {said}."
                for said in ("different", "the same")
            ],
            0,
        )
    ],
    "super_glue_wsc": [
        (
            [
                "Passage: * Old Tom *  # he # said, left.\nDoes the pronoun # he # refer to * Old Tom *?\nA. Yes\nB. No\n"
                f"Answer: \n{letter}"
                for letter in "AB"
            ],
            0,
        ),
        (
            [
                f"Passage: a * b c *\nDoes the pronoun # c d # refer to * b c *?\nA. Yes\nB. No\nAnswer: \n{letter}"
                for letter in "AB"
            ],
            1,
        ),
    ],
    "super_glue_ax_b": [([f"s\nt\n{NLI}\n{said}" for said in ("Yes", "No")], 1)],
    "super_glue_ax_g": [([f"p\n\n{NLI}\n{said}" for said in ("Yes", "No")], 0)],
}


def request_for(task: str, tokenizer: Tokenizer, data: Path | None, **changed: Any) -> RowRequest:
    usual = {"length_tokens": 4096, "samples": 100, "seed": 42, "protocol": "paper", "data": open_data(data)}
    return RowRequest(task=task, tokenizer=tokenizer, **{**usual, **changed})


def rows_of(task: str, tokenizer: Tokenizer, data: Path | None, **changed: Any) -> list[Row]:
    return task_entries()[task].build_rows()(request_for(task, tokenizer, data, **changed))


@pytest.mark.parametrize("task", EXPECTED)
def test_texts_and_answers_are_those_written_here(task: str, bytes_tokenizer: Tokenizer, made_data: Path) -> None:
    rows = rows_of(task, bytes_tokenizer, made_data)
    assert [([row.prompt + choice for choice in row.choices], row.gold) for row in rows] == EXPECTED[task]
    lm = ArithmeticLM(bytes_tokenizer)
    for row, (texts, _) in zip(rows, EXPECTED[task], strict=True):
        losses = [one_text(bytes_tokenizer.encode(text)) for text in texts]
        responses = responses_of(row, lm, bytes_tokenizer)
        assert mean_losses(row, responses) == pytest.approx(losses, abs=1e-12)
        assert ranking_scores(row, responses) == {"acc": float(losses.index(min(losses)) == row.gold)}


def one_text(ids: list[int]) -> float:
    """Sum of the losses over all tokens, the first of which has none, by the number of tokens."""
    losses = [((a * 7919 + b * 104729 + 12345) % 1021) / 64 for a, b in itertools.pairwise(ids)]
    return sum(losses) / len(ids)


def test_a_loss_worked_out_by_hand(bytes_tokenizer: Tokenizer, made_data: Path) -> None:
    """Newline is token 198, `a` to `d` are 64 to 67; 198 * 7919 + 64 * 104729 + 12345 = 8282963, which leaves 611 by 1021."""
    row = rows_of("short_hellaswag", bytes_tokenizer, made_data)[1]
    assert bytes_tokenizer.encode("\nabcd") == [198, 64, 65, 66, 67]
    losses = mean_losses(row, responses_of(row, ArithmeticLM(bytes_tokenizer), bytes_tokenizer))
    remainders = [(8282963 + 104729 * more) % 1021 for more in range(4)]
    assert remainders[0] == 611
    assert losses == [remainder / 64 / 2 for remainder in remainders]


def test_the_last_tokens_are_read_where_a_text_is_over_the_window(bytes_tokenizer: Tokenizer, tmp_path: Path) -> None:
    passage = "".join(chr(ord("a") + n % 26) for n in range(3000))
    data = write_data(tmp_path, **{"SuperGLUE/CB/val.jsonl": [{"premise": passage, "hypothesis": "h", "label": "neutral"}]})
    (row,) = rows_of("super_glue_cb", bytes_tokenizer, data)
    texts = [row.prompt + choice for choice in row.choices]
    assert row.details["tokens_of_choices"] == [2048, 2048, 2048]
    losses = mean_losses(row, responses_of(row, ArithmeticLM(bytes_tokenizer), bytes_tokenizer))
    assert losses == [one_text(bytes_tokenizer.encode(text)[-2048:]) for text in texts]
    with pytest.raises(UserError, match="its longest question has 2048 tokens, over the length of 1k; use 2048 or more"):
        rows_of("super_glue_cb", bytes_tokenizer, data, length_tokens=1024)


def test_what_choices_share_is_a_span_of_its_own_that_is_asked_once(bytes_tokenizer: Tokenizer, made_data: Path) -> None:
    lm = ArithmeticLM(bytes_tokenizer)
    for row in rows_of("short_gpqa", bytes_tokenizer, made_data):
        lm.computed.clear()
        responses_of(row, lm, bytes_tokenizer)
        firsts = sorted(first for first, _ in lm.computed)
        assert len(firsts) == 1 + len(row.choices)
        assert firsts[1:] == [bytes_tokenizer.count(row.prompt)] * len(row.choices)


def test_the_first_of_equal_losses_wins_and_an_unknown_answer_is_never_right(
    bytes_tokenizer: Tokenizer, made_data: Path
) -> None:
    row = rows_of("short_winogrande", bytes_tokenizer, made_data)[0]
    row = replace(row, details={**row.details, "tokens_of_choices": [2, 4]})
    assert ranking_scores(replace(row, gold=0), [(-6.0, False), (-12.0, False)]) == {"acc": 1.0}
    assert ranking_scores(replace(row, gold=1), [(-6.0, False), (-8.0, False)]) == {"acc": 1.0}
    assert ranking_scores(replace(row, gold=None), [(-6.0, False), (-8.0, False)]) == {"acc": 0.0}


def test_fields_are_filled_one_after_another_and_empty_turns_leave_no_line() -> None:
    assert filled("{a} {b} {c}", {"a": "{b}{c}", "b": "{a}", "c": 3}) == "{a}3 {a} 3"
    assert [joined_turns(turns) for turns in (["a", "b"], ["a", ""], ["", "b"], ["a "])] == ["a\nb", "a", "\nb", "a "]
    assert [shared_words(texts) for texts in (["a bc", "a bd"], ["a b", "a b"], ["ab", "ac"], ["\nx", "\ny"])] == [
        "a",
        "a",
        "",
        "",
    ]


def test_record_and_truthfulqa_ask_what_is_written_here(bytes_tokenizer: Tokenizer, made_data: Path) -> None:
    (row,) = rows_of("super_glue_record", bytes_tokenizer, made_data)
    assert row.prompt == (
        "Passage: Ann met Bob.\n\nBob won. \nResult: ____ won\n"
        "Question: What entity does ____ refer to in the result? Give me the entity name:"
    )
    assert (row.references, row.max_new_tokens) == (("Bob", "the Bob"), 64)
    scores = {
        answer: entity_scores(row, [answer])["acc"] for answer in ("\nAnswer: The Bob!\nyes", "Bob, of course", "bob", "")
    }
    assert scores == {"\nAnswer: The Bob!\nyes": 1.0, "Bob, of course": 1.0, "bob": 0.0, "": 0.0}
    assert normalised(first_line(" U.S. won\nx")) == "U"
    (row,) = rows_of("short_truthfulqa", bytes_tokenizer, made_data)
    assert (row.prompt, row.references, row.details["wrong"]) == ("Is it so?", ("No", "I have no comment."), ["Yes"])
    assert truth_scores(row, ["I have no comment."]) == {"bleu_acc": 1.0, "bleu_max": 1.0, "bleu_diff": 1.0}
    assert truth_scores(row, ["No"]) == {"bleu_acc": 0.0, "bleu_max": 0.0, "bleu_diff": 0.0}
    assert set(truth_scores(row, [" \n"]).values()) == {None}


def test_bleu_by_hand() -> None:
    """Six tokens with five: 5 of 6, 3 of 5, 2 of 4 and 1 of 3 n-grams are found, and nothing is too short."""
    answer, reference = "a b c d x e".split(), "a b c d e".split()
    assert bleu(answer, reference) == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert bleu(reference, [*reference, "f", "g"]) == pytest.approx(2.718281828459045 ** (1 - 7 / 5))
    assert tokens_13a('It\'s 3.5%, "no-one"; 7-8 U.S.') == [
        *("It's", "3.5", "%", ",", '"', "no-one", '"', ";", "7", "-", "8", "U", ".", "S", "."),
    ]


LABELS = [
    ("short_piqa", "piqa/dev-labels.lst", "0\n2\n", r"dev-labels.lst:2: label is '2'; it must be '0' or '1'"),
    ("short_siqa", "siqa/dev-labels.lst", "0\n", r"dev-labels.lst:1: label is '0'; it must be '1', '2' or '3'"),
    ("short_siqa", "siqa/dev-labels.lst", "1\n2\n", r"dev-labels.lst has 2 labels, .*dev.jsonl 1 records"),
    (
        "short_hellaswag",
        "hellaswag/hellaswag.jsonl",
        [{"query": "q", "choices": ["a", "b", "c", "d"], "gold": 4}],
        r"hellaswag.jsonl:1: gold is 4; it must be 0, 1, 2 or 3",
    ),
    (
        "short_hellaswag",
        "hellaswag/hellaswag.jsonl",
        [{"query": "q", "choices": ["a", "b"], "gold": 0}],
        r"hellaswag.jsonl:1: choices holds 2; it must hold 4",
    ),
    (
        "short_winogrande",
        "winogrande/dev.jsonl",
        [{"sentence": "_", "option1": "a", "option2": "b", "answer": "3"}],
        r"dev.jsonl:1: answer is '3'; it must be '1', '2' or ''",
    ),
    (
        "short_winogrande",
        "winogrande/dev.jsonl",
        [{"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"}],
        r"dev.jsonl:1: its sentence has no _",
    ),
    (
        "short_arc_easy",
        "ARC/ARC-e/ARC-Easy-Dev.jsonl",
        [{"id": "a", "question": {"stem": "s", "choices": [{"text": "t", "label": x} for x in "ABCD"]}, "answerKey": "E"}],
        r"ARC-Easy-Dev.jsonl:1: answerKey is 'E'; it must be 'A', 'B', 'C' or 'D'",
    ),
    ("short_gpqa", "gpqa/gpqa_diamond.csv", "h\n1,2\n", r"gpqa_diamond.csv:2 ends a record of 2 columns"),
    ("short_gpqa", "gpqa/gpqa_diamond.csv", 'h\n"a" b\n', r"gpqa_diamond.csv:2 is not CSV"),
    (
        "short_truthfulqa",
        "truthful_qa/validation.jsonl",
        [{"question": "q", "correct_answers": ["a"], "incorrect_answers": [" "]}],
        r"validation.jsonl:1: incorrect_answers holds no answer",
    ),
    (
        "super_glue_cb",
        "SuperGLUE/CB/val.jsonl",
        [{"premise": "p", "hypothesis": "h", "label": "neutral"}, {"premise": "p", "hypothesis": "h", "label": 2}],
        r"val.jsonl:2: label is 2; it must be 'contradiction', 'entailment' or 'neutral'",
    ),
    (
        "super_glue_copa",
        "SuperGLUE/COPA/val.jsonl",
        [{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 2}],
        r"val.jsonl:1: label is 2; it must be 0 or 1",
    ),
    (
        "super_glue_wsc",
        "SuperGLUE/WSC/val.jsonl",
        [
            {
                "text": "t",
                "target": {"span1_index": 0, "span1_text": "t", "span2_index": 0, "span2_text": "t"},
                "label": True,
            }
        ],
        r"val.jsonl:1: label is True; it must be 'true' or 'false'",
    ),
    (
        "super_glue_boolq",
        "SuperGLUE/BoolQ/val.jsonl",
        [{"question": "q", "passage": "p"}],
        r"val.jsonl:1: label is None; it must be 'true' or 'false'",
    ),
]


@pytest.mark.parametrize(("task", "file", "content", "message"), LABELS)
def test_a_wrong_record_is_refused_with_its_file_and_line(
    task: str, file: str, content: Any, message: str, bytes_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        rows_of(task, bytes_tokenizer, write_data(tmp_path, **{file: content}))
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_the_other_protocol_are_one_line(bytes_tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no SuperGLUE/RTE/val.jsonl; put the files there"):
        rows_of("super_glue_rte", bytes_tokenizer, tmp_path)
    for task in ("super_glue_ax_b", "super_glue_record", "short_truthfulqa", "openbookqa_fact"):
        with pytest.raises(UserError, match=f"task {task} is not of this protocol"):
            rows_of(task, bytes_tokenizer, None, protocol="reference")


def test_json_booleans_of_boolq_are_said(bytes_tokenizer: Tokenizer, tmp_path: Path) -> None:
    lines = [{"question": "q", "passage": "p", "label": label} for label in (True, False)]
    rows = rows_of("super_glue_boolq", bytes_tokenizer, write_data(tmp_path, **{"SuperGLUE/BoolQ/val.jsonl": lines}))
    assert [row.gold for row in rows] == [0, 0]
    assert "OpenCompass 0.4.2 takes each of them for No" in rows[0].details["left_out"]


def test_questions_without_four_choices_are_said(bytes_tokenizer: Tokenizer, made_data: Path) -> None:
    (row,) = rows_of("short_arc_easy", bytes_tokenizer, made_data)
    assert row.details["left_out"] == "1 of 2 questions left out: 1 without exactly four choices (three)"


TABLE_1 = [entry.name for entry in resolve_tasks(["table1"]) if not entry.name.endswith("_sliding")]


@pytest.mark.parametrize("task", [*TABLE_1, "openbookqa_fact"])
def test_without_data_every_task_has_stand_ins_of_both_kinds(task: str, bytes_tokenizer: Tokenizer) -> None:
    rows = rows_of(task, bytes_tokenizer, None, samples=8)
    assert len(rows) == 8
    assert all(row.stand_in for row in rows)
    assert all("{" not in row.prompt + "".join(row.choices) for row in rows)
    if rows[0].choices:
        assert len({row.gold for row in rows} - {None}) > 1
    else:
        assert all(row.references for row in rows)


def test_data_prepare_takes_opencompasss_layout_as_it_is(
    made_data: Path, bytes_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    prepare_from_folder(made_data, tmp_path / "data")
    lacking = check_folder(tmp_path / "data").lacking
    assert "super_glue" not in lacking
    assert set(lacking["short_tasks"]) == {"ARC/ARC-e/ARC-Easy-Test.jsonl", "truthful_qa/multiple_choice.jsonl"}, (
        "protocol reference"
    )
    for task in TABLE_1:
        assert rows_of(task, bytes_tokenizer, tmp_path / "data") == rows_of(task, bytes_tokenizer, made_data)
