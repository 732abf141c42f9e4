"""The question-answering corpora: SQuAD and HotpotQA files as RULER reads them, or invented ones."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.errors import UserError
from ropepp_eval.text.invented_questions import articles

_FILES = {"qa_squad": ("squad", "*.json"), "qa_hotpotqa": ("hotpotqa", "*dev*.json")}


@dataclass(frozen=True)
class Question:
    """One question."""

    text: str
    answers: tuple[str, ...]
    needed: tuple[int, ...]
    """Documents without which it can't be answered."""
    gold: tuple[int, ...]
    """Documents that come first: the reference's `context` (HotpotQA: all ten of the question)."""
    related: tuple[int, ...]
    """Documents that come next: other paragraphs of the same article."""
    source: str
    """Article or question id, for clustered statistics."""


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: it is large
class Corpus:
    """Documents, each once and sorted, and questions about them."""

    documents: tuple[str, ...]
    questions: tuple[Question, ...]
    stand_in: bool


def corpus_files(task: str, data: DataFolder) -> list[Path]:
    """The files of a task's corpus; none where stand-ins are used."""
    return data.files(*_FILES[task])


def read_corpus(task: str, data: DataFolder, length_tokens: int) -> Corpus:
    """The corpus of `qa_squad` or `qa_hotpotqa`.

    Raises:
        UserError: a file is not what it should be.
    """
    paths = corpus_files(task, data)
    if not paths:
        return _invented(task, 1 << max(9, (length_tokens // 64).bit_length()))
    stamps = tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return _read(task, tuple(paths), stamps)


@functools.lru_cache(maxsize=4)
def _read(task: str, paths: tuple[Path, ...], stamps: object) -> Corpus:
    reader = _squad if task == "qa_squad" else _hotpotqa
    contents = []
    for path in paths:
        try:
            contents.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); put the original file there") from error
    try:
        return reader(contents)
    except (KeyError, TypeError, ValueError) as error:
        names = ", ".join(map(str, paths))
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{names}: not in the original schema ({reason}); put the original file there") from error


def _squad(contents: list[Any]) -> Corpus:
    """SQuAD v2: every answerable question, with the paragraph it is about and the others of its article."""
    found = [article for content in contents for article in content["data"]]
    documents = sorted({paragraph["context"] for article in found for paragraph in article["paragraphs"]})
    index = {document: number for number, document in enumerate(documents)}
    questions = []
    for article in found:
        of_article = [index[paragraph["context"]] for paragraph in article["paragraphs"]]
        for paragraph, own in zip(article["paragraphs"], of_article, strict=True):
            related = tuple(other for other in of_article if other != own)
            for qa in paragraph["qas"]:
                if not qa["is_impossible"]:
                    answers = tuple(answer["text"] for answer in qa["answers"])
                    questions.append(Question(qa["question"], answers, (own,), (own,), related, article["title"]))
    return Corpus(tuple(documents), tuple(questions), stand_in=False)


def _hotpotqa(contents: list[Any]) -> Corpus:
    """HotpotQA (distractor setting): each question with its ten paragraphs, of which two are needed."""
    found = [entry for content in contents for entry in content]
    documents = sorted({_paragraph(title, lines) for entry in found for title, lines in entry["context"]})
    index = {document: number for number, document in enumerate(documents)}
    questions = []
    for entry in found:
        own = {title: index[_paragraph(title, lines)] for title, lines in entry["context"]}
        needed = tuple(dict.fromkeys(own[title] for title, _ in entry["supporting_facts"]))
        gold = tuple(index[_paragraph(title, lines)] for title, lines in entry["context"])
        questions.append(Question(entry["question"], (entry["answer"],), needed, gold, (), entry["_id"]))
    return Corpus(tuple(documents), tuple(questions), stand_in=False)


def _paragraph(title: str, lines: list[str]) -> str:
    return f"{title}\n{''.join(lines)}"


@functools.lru_cache(maxsize=2)
def _invented(task: str, count: int) -> Corpus:
    """Invented articles; a question of `qa_hotpotqa` needs two of their paragraphs."""
    people = articles(count)
    documents: list[str] = []
    for article in people:
        documents += [f"{article.person}\n{article.lessons}", article.home]
    order = sorted(range(len(documents)), key=documents.__getitem__)
    place = {old: new for new, old in enumerate(order)}
    questions = []
    for number, article in enumerate(people[:-10]):
        lessons, home, teachers_home = place[2 * number], place[2 * number + 1], place[2 * article.teacher + 1]
        if task == "qa_squad":
            text = f"In which town does {article.person} live?"
            questions.append(Question(text, (article.town,), (home,), (home,), (lessons,), article.person))
        else:
            text = f"In which town does the teacher of {article.person} live?"
            needed = (lessons, teachers_home)
            questions.append(Question(text, (people[article.teacher].town,), needed, needed, (home,), article.person))
    return Corpus(tuple(documents[old] for old in order), tuple(questions), stand_in=True)
