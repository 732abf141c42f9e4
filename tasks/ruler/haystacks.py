"""The essay haystack: words with a single blank between them, and where its sentences begin."""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.data import DataFolder
from ropepp_eval.data.punkt import sentence_spans
from ropepp_eval.data.text_files import read_text
from ropepp_eval.text.filler import filler_words
from ropepp_eval.tokens.counting import PieceCounter


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: its words are many
class Haystack:
    """Words to hide needles between. A prefix of `n` words is the haystack of that size."""

    words: tuple[str, ...]
    """As they stand inside the haystack. A sentence that ends inside a word (`good.[2]`) puts a blank there."""
    last_words: tuple[str, ...]
    """As they stand where they are the last word (they differ only in the paper's protocol)."""
    sentence_begins: tuple[int, ...]
    """Character of `text` where each sentence begins."""
    stand_in: bool
    """True for generated filler."""

    @functools.cached_property
    def text(self) -> str:
        """All words, a blank between them."""
        return " ".join(self.words)

    @functools.cached_property
    def offsets(self) -> list[int]:
        """Character of `text` where each word begins, and one entry more."""
        return _offsets(self.words)

    def sentences(self, words: int) -> int:
        """How many sentences, whole or begun, the first `words` words hold."""
        return bisect_left(self.sentence_begins, self.offsets[words])

    def part(self, first_sentence: int, end_sentence: int, words: int) -> str:
        """Sentences `first_sentence .. end_sentence - 1` of the first `words` words, joined by blanks."""
        if first_sentence >= end_sentence:
            return ""
        begin = self.sentence_begins[first_sentence]
        if end_sentence < self.sentences(words):
            return self.text[begin : self.sentence_begins[end_sentence] - 1]
        last = self.offsets[words - 1]
        if begin > last:  # it begins inside the last word
            return self.text[begin : self.offsets[words] - 1]
        return self.text[begin:last] + self.last_words[words - 1]

    def running_tokens(self, counter: PieceCounter) -> list[int]:
        """Tokens of the first n words, n from 0, where a blank precedes each."""
        return _running_tokens(self, counter)


def _offsets(words: Iterable[str]) -> list[int]:
    return list(itertools.accumulate((len(word) + 1 for word in words), initial=0))


@functools.lru_cache(maxsize=8)
def _running_tokens(haystack: Haystack, counter: PieceCounter) -> list[int]:
    unique = sorted({word for word in haystack.words if word})
    tokens = dict(zip(unique, counter.each_inside(unique), strict=True)) | {"": 0}
    return list(itertools.accumulate((tokens[word] for word in haystack.words), initial=0))


@functools.lru_cache(maxsize=4)
def filler_haystack(words: int) -> Haystack:
    """`words` words of generated filler: a longer one begins with a shorter one."""
    found, begins = filler_words(words, "haystack")
    offsets = _offsets(found)
    return Haystack(tuple(found), tuple(found), tuple(offsets[i] for i in begins), stand_in=True)


def essay_haystack(
    data: DataFolder, files: str, sentences: str, most_words: int | None = None, repeat: bool = False
) -> Haystack:
    """The essays of the data folder as one haystack.

    Args:
        data: the folder with `essays/*.txt` (in name order).
        files: `joined` (one after the other, RULER) or `stripped` (each followed by a blank, OpenCompass).
        sentences: `punkt` (RULER: `nltk.sent_tokenize`), or `full_stop_removed` (OpenCompass: cut at ". ", which is lost).
        most_words: where to end, so that no sentence is split that no row can hold; None: all words.
        repeat: begin again where the essays end before `most_words`, as RULER does.
    """
    paths = tuple(data.files("essays", "*.txt"))
    stamps = tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return _read_haystack(data, paths, stamps, files, sentences, most_words, repeat)


@functools.lru_cache(maxsize=4)
def _read_haystack(
    data: DataFolder,
    paths: tuple[Path, ...],
    stamps: object,
    files: str,
    sentences: str,
    most_words: int | None,
    repeat: bool,
) -> Haystack:
    texts = [read_text(path) for path in paths]
    essay = "".join(texts) if files == "joined" else "".join(text.strip() + " " for text in texts)
    words = re.sub(r"\s+", " ", essay).strip().split(" ")
    if most_words is not None:
        words = (words * (-(-most_words // len(words)) if repeat else 1))[:most_words]
    return _without_full_stops(words) if sentences == "full_stop_removed" else _with_sentences(words, data)


def _with_sentences(words: list[str], data: DataFolder) -> Haystack:
    """Sentences of the words' text; where two meet inside a word, a blank is put between them, as joining them does."""
    text = " ".join(words)
    offsets = _offsets(words)
    begins: list[int] = []
    shift = 0
    spaced = list(words)
    for begin, _ in sentence_spans(text, data):
        word = bisect_left(offsets, begin + 1) - 1
        if begin > offsets[word]:
            inside = begin - offsets[word] + len(spaced[word]) - len(words[word])
            spaced[word] = spaced[word][:inside] + " " + spaced[word][inside:]
            shift += 1
        begins.append(begin + shift)
    return Haystack(tuple(spaced), tuple(spaced), tuple(begins), stand_in=False)


def _without_full_stops(words: list[str]) -> Haystack:
    """A sentence ends with a word that ends with a full stop; the stop stays only where nothing follows it."""
    inside = tuple(word.removesuffix(".") for word in words)
    offsets = _offsets(inside)
    begins = (0, *(offsets[i + 1] for i, word in enumerate(words) if word.endswith(".")))
    return Haystack(inside, tuple(words), begins, stand_in=False)
