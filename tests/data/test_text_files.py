"""The one reader of corpora: what a byte order mark, line ends and other encodings do, for every corpus alike."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.data.babi import read_questions
from ropepp_eval.data.books import load_books
from ropepp_eval.data.published_babilong import read_published
from ropepp_eval.data.text_files import read_text
from ropepp_eval.errors import UserError
from ropepp_eval.tasks.lambada.passages import load_passages
from ropepp_eval.tasks.openbookqa.corpus import left_out_of, load_library, load_questions
from ropepp_eval.tasks.ruler.documents import read_corpus
from ropepp_eval.tasks.ruler.haystacks import essay_haystack
from ropepp_eval.tasks.wikitext.corpus import load_wikitext
from ropepp_eval.tasks.wikitext.detokenizer import closed_up

STORY = "The mill stands by the river.\nNobody works there “now”. Children play behind it.\nIt rains a lot in autumn. "


def _book_question(**changed: Any) -> dict[str, Any]:
    choices = [{"text": text, "label": label} for text, label in (("water", "A"), ("stone", "B"))]
    question = {"stem": "A café mill is driven by", "choices": choices}
    return {"id": "1-1", "question": question, "answerKey": "A", "fact1": "water drives mills", **changed}


def _squad(**changed: Any) -> dict[str, Any]:
    question = {"id": "q1", "question": "Where?", "is_impossible": False, "answers": [{"text": "Orvik"}], **changed}
    return {"data": [{"title": "Mills", "paragraphs": [{"context": "A café in Orvik.", "qas": [question]}]}]}


def _hotpot(**changed: Any) -> dict[str, Any]:
    context = [["Mill", ["A café mill. ", "It is old."]], ["Town", ["A town."]]]
    entry = {"_id": "h1", "question": "Who?", "answer": "Ann", "supporting_facts": [["Mill", 0], ["Town", 0]]}
    return entry | {"context": context} | changed


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


BABI = "1 Ann went to the café.\n2 Where is Ann? \tcafé\t1\n"
QUESTIONS = _line(_book_question()) + "\n"
CORPORA: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "essays": ("essays/a.txt", STORY, lambda root: essay_haystack(open_data(root), "stripped", "full_stop_removed").text),
    "books": ("gutenberg/a.txt", STORY, lambda root: load_books(open_data(root)).sentences),
    "babi": ("babi/en-10k/qa1_x_test.txt", BABI, lambda root: read_questions(root / "babi/en-10k/qa1_x_test.txt")),
    "published": (
        "babilong/qa1/4k.json",
        _line([{"input": "é", "question": "q", "target": "t"}]),
        lambda root: read_published(open_data(root), "qa1", "4k"),
    ),
    "lambada": ("lambada/lambada_test.jsonl", '{"text": "One café is open"}\n', lambda root: load_passages(open_data(root))),
    "wikitext": (
        "wikitext-2-raw/wiki.test.raw",
        " = Café = \n \n A mill . \n",
        lambda root: load_wikitext(open_data(root), "test"),
    ),
    "openbookqa": ("openbookqa/Main/test.jsonl", QUESTIONS, lambda root: load_questions(open_data(root), facts=False)),
    "squad": ("squad/dev.json", _line(_squad()), lambda root: _plain(read_corpus("qa_squad", open_data(root), 1024))),
    "hotpotqa": (
        "hotpotqa/dev.json",
        _line([_hotpot()]),
        lambda root: _plain(read_corpus("qa_hotpotqa", open_data(root), 1024)),
    ),
}
every_corpus = pytest.mark.parametrize("name", CORPORA)


def _plain(corpus: Any) -> Any:
    return corpus.documents, corpus.questions


def _read(root: Path, name: str, content: bytes) -> Any:
    file, _, read = CORPORA[name]
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_bytes(content)
    return read(root)


@every_corpus
def test_a_byte_order_mark_and_line_ends_change_nothing(name: str, tmp_path: Path) -> None:
    text = CORPORA[name][1]
    plain = _read(tmp_path / "plain", name, text.encode())
    assert _read(tmp_path / "marked", name, b"\xef\xbb\xbf" + text.encode()) == plain
    assert _read(tmp_path / "windows", name, text.replace("\n", "\r\n").encode()) == plain
    assert _read(tmp_path / "old-mac", name, text.replace("\n", "\r").encode()) == plain


@every_corpus
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace("“", "é").replace("”", "é").encode("latin-1"), r"is not UTF-8 \(byte \d+ is 0x"),
        (lambda text: text.encode("utf-16"), "is UTF-16 or UTF-32"),
        (lambda text: text.encode("utf-16-le"), "is UTF-16 or UTF-32"),
        (lambda text: text.encode()[:9] + b"\0" + text.encode()[9:], r"is no text \(byte 9 is 0x00\)"),
        (lambda text: b"", "is empty; get the file anew"),
        (lambda text: b"\n \r\n\n", "is empty; get the file anew"),
    ],
)
def test_anything_but_utf8_text_is_one_line_with_the_file(
    name: str, spoil: Callable[[str], bytes], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        _read(tmp_path, name, spoil(CORPORA[name][1]))
    assert Path(CORPORA[name][0]).name in str(caught.value)
    assert str(caught.value).isprintable()


@every_corpus
def test_a_corpus_file_that_is_a_folder_or_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    import os

    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / "x/pipe")
    for path in (tmp_path / "x", tmp_path / "x/pipe"):
        with pytest.raises(UserError, match="is no plain file"):
            read_text(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", r"test.jsonl:2 is \[\]; it must be a mapping"),
        ("{", r"test.jsonl:2 is not JSON"),
        (_line(_book_question(id=7)), r"test.jsonl:2: id is 7; it must be a text"),
        (_line(_book_question(question="?")), r'test.jsonl:2: question is "\?"; it must be a mapping'),
        (_line(_book_question(question={"stem": "?", "choices": []})), r"test.jsonl:2: question.choices is \[\]"),
        (_line(_book_question()).replace("café", "\\ud83d"), r"test.jsonl:2 can't be used as JSON \(.* is half a character"),
        ('{"id": "a", "id": "b"}', r'test.jsonl:2 can\'t be used as JSON \(the key "id" is there twice\)'),
    ],
)
def test_a_wrong_record_is_named_by_file_and_line(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        _read(tmp_path, "openbookqa", (QUESTIONS + line + "\n").encode())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (_hotpot(answer=" "), "without a reference answer (h1)"),
        (_hotpot(supporting_facts=[["Mill", 0], ["Elsewhere", 0]]), "without a supporting paragraph (h1)"),
        (_hotpot(supporting_facts=[]), "without a supporting paragraph (h1)"),
    ],
)
def test_a_hotpotqa_question_that_can_not_be_answered_is_left_out_and_named(
    entry: dict[str, Any], said: str, tmp_path: Path
) -> None:
    corpus = _corpus(tmp_path, "hotpotqa", [entry, _hotpot(_id="h2")])
    assert [question.source for question in corpus.questions] == ["h2"]
    assert corpus.left_out == f"1 of 2 questions left out: 1 {said}"
    with pytest.raises(UserError, match="has no question that can be asked") as caught:
        _corpus(tmp_path / "alone", "hotpotqa", [entry])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"answers": []}, "without a reference answer (q1)"),
        ({"answers": [{"text": ""}]}, "without a reference answer (q1)"),
        ({"answers": [{"text": "Elsewhere"}]}, "whose answer is not in its paragraph (q1)"),
    ],
)
def test_a_squad_question_that_can_not_be_answered_is_left_out_and_named(
    question: dict[str, Any], said: str, tmp_path: Path
) -> None:
    content = _squad(**question)
    content["data"] += _squad(id="q2")["data"]
    corpus = _corpus(tmp_path, "squad", content)
    assert len(corpus.questions) == 1
    assert corpus.left_out == f"1 of 2 questions left out: 1 {said}"


def test_unanswerable_questions_of_squad_2_are_by_design_and_not_counted(tmp_path: Path) -> None:
    content = _squad(is_impossible=True, answers=[])
    with pytest.raises(UserError, match="it holds no question with an answer"):
        _corpus(tmp_path / "none", "squad", content)
    content["data"] += _squad(id="q2")["data"]
    assert _corpus(tmp_path / "some", "squad", content).left_out == ""


def _corpus(root: Path, name: str, content: Any) -> Any:
    (root / name).mkdir(parents=True)
    (root / name / "dev.json").write_text(_line(content), encoding="utf-8")
    return read_corpus(f"qa_{name}", open_data(root), 1024)


def test_an_openbookqa_question_without_key_or_fact_is_left_out_and_named(tmp_path: Path) -> None:
    lines = [_book_question(), _book_question(id="2-2", answerKey=""), _book_question(id="3-3", fact1="")]
    file = tmp_path / "openbookqa/Additional/test_complete.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(map(_line, lines)), encoding="utf-8")
    data = open_data(tmp_path)
    assert [question.name for question in load_questions(data, facts=True)[0]] == ["1-1"]
    assert left_out_of(data, facts=True) == (
        "2 of 3 questions left out: 1 without an answer key (2-2); 1 without its fact (3-3)"
    )


def test_published_rows_without_an_answer_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [{"input": "a", "question": "q", "target": target} for target in ("kitchen", " ", "garden")]
    found = _read(tmp_path, "published", _line(rows).encode())
    assert [row.target for row in found[0]] == ["kitchen", "garden"]
    assert found[1] == "1 of 3 questions left out: 1 without a reference answer (row 1)"


def test_real_corpora_lose_no_question(data_dir: Path) -> None:
    data = open_data(data_dir)
    for task in ("qa_squad", "qa_hotpotqa"):
        assert read_corpus(task, data, 4096).left_out == ""
    assert left_out_of(data, facts=True) == left_out_of(data, facts=False) == ""
    assert load_library(data).book


def test_brackets_are_closed_up_as_the_reference_expression_does() -> None:
    import re

    stream = random.Random(5)
    for _ in range(3000):
        text = "".join(stream.choices("ab \n\t\x1c\u2003()[]\"'", k=stream.randrange(24)))
        for opening, closing in ("()", "[]", '""', "''"):
            pattern = rf"{re.escape(opening)}\s*([^{re.escape(closing)}]*?)\s*{re.escape(closing)}"
            assert closed_up(text, opening, closing) == re.sub(pattern, rf"{opening}\1{closing}", text)


@pytest.mark.parametrize("text", ["[" * 10**6, "[ " * 10**6, "[" + " " * 10**6, '"' + " " * 10**6])
def test_a_long_line_of_brackets_takes_time_in_proportion(text: str) -> None:
    """A million characters: the quadratic expression would need hours, so a regression can't be overlooked."""
    assert closed_up(text, text[0], "]" if text[0] == "[" else text[0]) == text
