"""The question-answering corpora: SQuAD and HotpotQA files as RULER reads them, or invented ones."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, Strict

from ropepp_eval.data import DataFolder
from ropepp_eval.data.left_out import LeftOut
from ropepp_eval.data.text_files import read_json_file, read_json_records
from ropepp_eval.outside import Items, Outside
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
    left_out: str = ""
    """Which questions of the files can't be asked, in words."""


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
    left_out = LeftOut()
    corpus = reader(paths, left_out)
    left_out.check(len(corpus.questions), paths)
    return replace(corpus, left_out=left_out.in_words(len(corpus.questions)))


class _SquadAnswer(Outside):
    text: str


class _SquadQuestion(Outside):
    id: str = ""
    question: str
    is_impossible: bool = False
    """Made to have no answer (SQuAD 2.0): RULER asks none of these, so they are not counted among those left out."""
    answers: Items[_SquadAnswer] = ()


class _SquadParagraph(Outside):
    context: str
    qas: Items[_SquadQuestion]


class _SquadArticle(Outside):
    title: str
    paragraphs: Items[_SquadParagraph]


class _SquadFile(Outside):
    data: Items[_SquadArticle]


def _squad(paths: Sequence[Path], left_out: LeftOut) -> Corpus:
    """SQuAD: every answerable question, with the paragraph it is about and the others of its article."""
    found = [article for path in paths for article in read_json_file(path, _SquadFile).data]
    documents = sorted({paragraph.context for article in found for paragraph in article.paragraphs})
    index = {document: number for number, document in enumerate(documents)}
    questions = []
    for article in found:
        of_article = [index[paragraph.context] for paragraph in article.paragraphs]
        for paragraph, own in zip(article.paragraphs, of_article, strict=True):
            related = tuple(other for other in of_article if other != own)
            for qa in paragraph.qas:
                if qa.is_impossible:
                    continue
                answers = tuple(answer.text for answer in qa.answers if answer.text.strip())
                if any(answer in paragraph.context for answer in answers):
                    questions.append(Question(qa.question, answers, (own,), (own,), related, article.title))
                else:
                    reason = "whose answer is not in its paragraph" if answers else "without a reference answer"
                    left_out.add(qa.id or qa.question, reason)
    return Corpus(tuple(documents), tuple(questions), stand_in=False)


_Paragraph = Annotated[tuple[str, Items[str]], Strict(False)]
_Fact = Annotated[tuple[str, int], Strict(False)]


class _HotpotEntry(Outside):
    id: Annotated[str, Field(alias="_id")]
    question: str
    answer: str = ""
    supporting_facts: Items[_Fact] = ()
    context: Items[_Paragraph]


def _hotpotqa(paths: Sequence[Path], left_out: LeftOut) -> Corpus:
    """HotpotQA: each question with its (ten) paragraphs, of which two are needed. In the full-wiki files some are not among them."""
    found = [entry for path in paths for entry in read_json_records(path, _HotpotEntry)]
    documents = sorted({_paragraph(title, lines) for entry in found for title, lines in entry.context})
    index = {document: number for number, document in enumerate(documents)}
    questions = []
    for entry in found:
        own = {title: index[_paragraph(title, lines)] for title, lines in entry.context}
        titles = [title for title, _ in entry.supporting_facts]
        if not entry.answer.strip():
            left_out.add(entry.id, "without a reference answer")
        elif not titles or any(title not in own for title in titles):
            left_out.add(entry.id, "without a supporting paragraph")
        else:
            needed = tuple(dict.fromkeys(own[title] for title in titles))
            gold = tuple(index[_paragraph(title, lines)] for title, lines in entry.context)
            questions.append(Question(entry.question, (entry.answer,), needed, gold, (), entry.id))
    return Corpus(tuple(documents), tuple(questions), stand_in=False)


def _paragraph(title: str, lines: Sequence[str]) -> str:
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
