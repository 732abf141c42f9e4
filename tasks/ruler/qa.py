"""`qa_squad` and `qa_hotpotqa`: a question whose answer stands in one (or two) of many documents.

Source: RULER v1 (NVIDIA/RULER c3f5e3b), `qa.py`; the same choices give the same text to the byte.
"""

from __future__ import annotations

import functools
import itertools
import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ropepp_eval.data.left_out import noted
from ropepp_eval.errors import UserError
from ropepp_eval.rows.documents import documents_in_turn
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.ruler.documents import Corpus, Question, read_corpus
from ropepp_eval.tasks.ruler.family import Family, number_tokens
from ropepp_eval.tokens.counting import PieceCounter

_LEAST_DOCUMENT_TOKENS = 8
_SPARE_DOCUMENTS = 40
_JUNCTION_TOKENS = 4  # what may come and go where documents meet


@dataclass(frozen=True, kw_only=True)
class QaChoices:
    """Every random choice behind a prompt."""

    documents: tuple[int, ...]
    """Documents of the corpus, in the order of the prompt."""
    question: Question


@dataclass(frozen=True, kw_only=True)
class QaDraw:
    """The choices that do not depend on how many documents fit."""

    candidates: tuple[int, ...]
    """Documents in the order in which they are taken: needed, then gold, then related, then any others."""
    ranks: tuple[float, ...]
    """For each candidate: the prompt shows the documents taken by rising rank."""
    question: Question

    def at(self, documents: int) -> QaChoices:
        """The choices with the first so many candidates."""
        order = sorted(range(documents), key=self.ranks.__getitem__)
        return QaChoices(documents=tuple(self.candidates[i] for i in order), question=self.question)


def draw_qa(question: Question, corpus: Corpus, stream: random.Random, most: int, repeat: bool) -> QaDraw:
    """Up to `most` candidates; with `repeat`, documents come again where the corpus ends."""
    first = list(dict.fromkeys(question.needed))
    gold = [document for document in dict.fromkeys(question.gold) if document not in first]
    related = [document for document in dict.fromkeys(question.related) if document not in question.gold]
    stream.shuffle(gold)
    stream.shuffle(related)
    candidates = [*first, *gold, *related]
    taken = set(candidates)
    others = [document for document in range(len(corpus.documents)) if document not in taken]
    candidates += stream.sample(others, min(len(others), max(0, most - len(candidates))))
    if repeat and len(candidates) < most:
        candidates = list(itertools.islice(itertools.cycle(candidates), most))
    candidates = candidates[:most]
    return QaDraw(candidates=tuple(candidates), ranks=tuple(stream.random() for _ in candidates), question=question)


def render_qa(choices: QaChoices, corpus: Corpus, texts: dict[str, Any]) -> tuple[str, list[int]]:
    """The prompt of these choices, and the character at which each document begins."""
    shown = [
        texts["document"].format(number=number, text=corpus.documents[document])
        for number, document in enumerate(choices.documents, 1)
    ]
    head, tail = (texts["template"] + texts["answer_prefix"]).split("{context}")
    glue = texts["glue"]
    begins = list(accumulate((len(document) + len(glue) for document in shown), initial=len(head)))
    return head + glue.join(shown) + tail.replace("{query}", choices.question.text), begins[:-1]


class QaRows(Family):
    """Builds rows of `qa_squad` and `qa_hotpotqa`. Questions come by document in turn; the size is the number of documents."""

    name = "qa"

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self.corpus = read_corpus(request.task, request.data, request.length_tokens)
        self.questions = documents_in_turn(enumerate(self.corpus.questions), lambda question: question[1].source)

    def rows_available(self) -> int:
        return len(self.corpus.questions)

    def row(self, number: int) -> Row:
        place, question = self.questions[number]
        most = max(len(question.needed), self.prompt_budget // _LEAST_DOCUMENT_TOKENS)
        draw = draw_qa(question, self.corpus, self.stream(number, "documents"), most, self.request.data.repeat_text)
        running = self._running_tokens(draw)
        smallest, largest = len(question.needed), len(running) - 1
        fixed = self.counter.count(self._render(draw, smallest)) - running[smallest]
        documents, tokens = self.fit(
            lambda n: fixed + running[n], lambda n: self.counter.count(self._render(draw, n)), smallest, largest
        )
        if documents == len(draw.candidates) < most:
            self._refuse_small_corpus(documents, self.prompt_budget - tokens)
        draw, documents, tokens = self._fill_up(draw, documents, tokens)
        choices = draw.at(documents)
        prompt, offsets = render_qa(choices, self.corpus, self.texts)
        details = noted(self._details(place, choices, prompt, offsets), self.corpus.left_out)
        source: dict[str, Any] = {"stand_in": self.corpus.stand_in, "cluster": question.source}
        return self.make_row(number, prompt, tokens, question.answers, details=details, **source)

    def _fill_up(self, draw: QaDraw, documents: int, tokens: int) -> tuple[QaDraw, int, int]:
        """Later candidates short enough for the room that is left: the next one may be a very long document."""
        room = self.prompt_budget - tokens - _JUNCTION_TOKENS
        taken = list(range(documents))
        for index in range(documents, min(documents + _SPARE_DOCUMENTS, len(draw.candidates))):
            needed = self._heading_tokens + _document_tokens(self.corpus, self.counter, draw.candidates[index])
            if needed <= room:
                room -= needed
                taken.append(index)
        if len(taken) == documents:
            return draw, documents, tokens
        fuller = QaDraw(
            candidates=tuple(draw.candidates[i] for i in taken),
            ranks=tuple(draw.ranks[i] for i in taken),
            question=draw.question,
        )
        found = self.counter.count(self._render(fuller, len(taken)))
        return (fuller, len(taken), found) if found <= self.prompt_budget else (draw, documents, tokens)

    @property
    def _heading_tokens(self) -> int:
        """Tokens of the longest heading a prompt can have."""
        return self.counter.count_inside(f" {10 ** len(str(self.prompt_budget)) - 1}:\nThe")

    def _render(self, draw: QaDraw, documents: int) -> str:
        return render_qa(draw.at(documents), self.corpus, self.texts)[0]

    def _running_tokens(self, draw: QaDraw) -> list[int]:
        """Tokens of the first n candidates with their headings, n from 0, as far as could fit."""
        headings = number_tokens(self.counter, ":\nThe", 1 << len(draw.candidates).bit_length())
        tokens, running = 0, [0]
        for candidate in draw.candidates:
            tokens += _document_tokens(self.corpus, self.counter, candidate)
            running.append(tokens + headings[len(running)])
            if running[-1] > self.prompt_budget and len(running) > len(draw.question.needed):
                break
        return running

    def _details(self, question: int, choices: QaChoices, prompt: str, offsets: list[int]) -> dict[str, Any]:
        """Where the needed documents are."""
        count = len(choices.documents)
        places = sorted(choices.documents.index(document) for document in choices.question.needed)
        before = self.counter.positions(prompt, [offsets[place] for place in places])
        return {
            "question": question,
            "haystack_units": count,
            "dropped_gold": sum(document not in choices.documents for document in choices.question.gold),
            "needles": [
                {
                    "document": place + 1,
                    "depth_percent": round(100 * place / max(1, count - 1), 2),
                    "token_position": tokens,
                }
                for place, tokens in zip(places, before, strict=True)
            ],
        }

    def _refuse_small_corpus(self, documents: int, missing: int) -> None:
        if missing > 0:
            raise UserError(
                f"task {self.request.task} at {self.request.length_tokens} tokens: all {documents} documents of the corpus "
                f"leave {missing} tokens empty; add documents, ask for a shorter length, or let text repeat (repeat_text)"
            )


@functools.lru_cache(maxsize=100_000)
def _document_tokens(corpus: Corpus, counter: PieceCounter, document: int) -> int:
    """Tokens a document adds beside its number: its text up to the heading of the next one."""
    return counter.count_inside(f" 1:\n{corpus.documents[document]}\n\nDocument") - counter.count_inside(" 1:\nThe")
