"""`cwe`, common words extraction: the ten words that come most often in a numbered list.

Source: RULER v1 (NVIDIA/RULER c3f5e3b), `common_words_extraction.py`; the same choices give the same text to the byte.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.ruler.family import Family, Shuffle, chosen, number_tokens, shuffled
from ropepp_eval.text.word_pools import adjective_nouns, all_words
from ropepp_eval.tokens.counting import PieceCounter

_MARGIN = 1.1


@dataclass(frozen=True, kw_only=True)
class CweChoices:
    """Every random choice behind one list."""

    common: tuple[str, ...]
    uncommon: tuple[str, ...]
    common_repeats: int
    uncommon_repeats: int
    shuffle_seed: int | str
    """The list is shuffled by a fresh generator with this seed; see `shuffled`."""

    @property
    def length(self) -> int:
        """Entries of the list."""
        return len(self.common) * self.common_repeats + len(self.uncommon) * self.uncommon_repeats

    def words(self) -> list[str]:
        """The list before it is shuffled and numbered."""
        return list(self.common) * self.common_repeats + list(self.uncommon) * self.uncommon_repeats

    def entries(self) -> list[str]:
        """The list, shuffled and numbered from 1."""
        return _numbered(shuffled(self.words(), self.shuffle_seed))


def _numbered(words: Sequence[str]) -> list[str]:
    return list(map(operator.add, _numbers(1 << len(words).bit_length()), words))


@functools.lru_cache(maxsize=32)
def _numbers(most: int) -> list[str]:
    """`1. `, `2. `, ..."""
    return [f"{number}. " for number in range(1, most + 1)]


def render_cwe(example: CweChoices, choices: CweChoices, texts: dict[str, Any]) -> str:
    """The worked example with its answer, then the list proper with its question."""
    return render_example(example, texts) + _render_list(choices, texts)


def render_example(example: CweChoices, texts: dict[str, Any]) -> str:
    """The worked example with its answer."""
    return _render_list(example, texts) + str(texts["example_gap"]) + " ".join(_numbered(example.common)) + "\n"


def _render_list(choices: CweChoices, texts: dict[str, Any]) -> str:
    head, tail = _frame(texts)
    return head + " ".join(choices.entries()) + tail


def _frame(texts: dict[str, Any]) -> tuple[str, str]:
    """What stands before and after the list."""
    head, tail = (texts["template"] + texts["answer_prefix"]).split("{context}")
    return head, tail


class CweRows(Family):
    """Builds `cwe` rows. The size is the number of different words."""

    name = "cwe"

    def __init__(self, request: RowRequest) -> None:
        super().__init__(request)
        short = request.length_tokens < self.texts["small_below_tokens"] or not self._large_fits()
        self.sizes: dict[str, Any] = self.texts["small" if short else "large"]
        """Different words of the example, and repeats; the same for all rows of a cell."""

    def _large_fits(self) -> bool:
        """Whether the smallest large list fits, judged by the mean word; false only for tokenizers that split words finely."""
        large, words = self.texts["large"], self.counter.each_learned(list(all_words()))
        common = int(self.texts["common_words"])
        example = _entries(common, large["example_words"], *large["example_repeats"])
        entries = example + common + _entries(common, common + 1, *large["repeats"])
        numbers = number_tokens(self.counter, ".", entries)[-1]
        texts = 2 * self.counter.count(self.texts["template"] + self.texts["answer_prefix"])
        return bool(texts + numbers + _MARGIN * entries * sum(words) / len(words) <= self.prompt_budget)

    def row(self, number: int) -> Row:
        sizes = self.sizes
        example = self._draw(number, "example", sizes["example_words"], *sizes["example_repeats"])
        drawn = self._draw(number, "list", self._most_words(sizes["repeats"][1]), *sizes["repeats"])
        head, tail = _frame(self.texts)
        head = render_example(example, self.texts) + head
        smallest = len(drawn.common) + 1
        running = self._running_tokens(drawn)
        shuffle = Shuffle(int(drawn.shuffle_seed), _first(drawn, len(running) - 1).length)

        def prompt(words: int) -> str:
            return head + " ".join(_numbered(shuffle.of(_first(drawn, words).words()))) + tail

        def count(words: int) -> int:
            return self.counter.count(prompt(words))

        fixed = count(smallest) - running[smallest]
        words, tokens = self.fit(lambda n: fixed + running[n], count, smallest, len(running) - 1)
        details = {"words": words, "repeats": list(sizes["repeats"]), "made_up_words": max(0, words - len(all_words()))}
        return self.make_row(number, prompt(words), tokens, drawn.common, details=details)

    def _most_words(self, uncommon_repeats: int) -> int:
        """More different words than can fit: each comes so many times, with at least three tokens (number, point, word)."""
        return int(self.texts["common_words"]) + 2 + self.request.length_tokens // (3 * uncommon_repeats)

    def _draw(self, number: int, part: str, words: int, common_repeats: int, uncommon_repeats: int) -> CweChoices:
        """So many different words; beyond the 8,166 there are, `adjective-noun` pairs are made up."""
        stream = self.stream(number, part)
        drawn = chosen(stream, all_words(), min(words, len(all_words())))
        made_up: dict[str, None] = {}
        while len(drawn) + len(made_up) < words:
            made_up[adjective_nouns().draw(stream)] = None
        common = int(self.texts["common_words"])
        return CweChoices(
            common=tuple(drawn[:common]),
            uncommon=(*drawn[common:], *made_up),
            common_repeats=common_repeats,
            uncommon_repeats=uncommon_repeats,
            shuffle_seed=str(stream.getrandbits(64)),
        )

    def _running_tokens(self, drawn: CweChoices) -> list[int]:
        """Tokens of the list with the first n words where each entry follows a cut, for n from the number of common words on."""
        words = [*drawn.common, *drawn.uncommon]
        repeats = [drawn.common_repeats] * len(drawn.common) + [drawn.uncommon_repeats] * len(drawn.uncommon)
        tokens = np.cumsum([0, *np.multiply(self.counter.each_learned(words), repeats)])
        numbered = _number_tokens(self.counter, len(drawn.common), len(words), drawn.common_repeats, drawn.uncommon_repeats)
        running: list[int] = (tokens + numbered).tolist()
        return running


@functools.lru_cache(maxsize=8)
def _number_tokens(
    counter: PieceCounter, common: int, words: int, common_repeats: int, uncommon_repeats: int
) -> np.ndarray[Any, Any]:
    """Tokens of the numbers in a list of n different words, n from 0 to `words`."""
    entries = [_entries(common, max(n, common), common_repeats, uncommon_repeats) for n in range(words + 1)]
    return np.array(number_tokens(counter, ".", 1 << entries[-1].bit_length()))[entries]


def _entries(common: int, words: int, common_repeats: int, uncommon_repeats: int) -> int:
    """Length of the list with so many different words."""
    return common * common_repeats + (words - common) * uncommon_repeats


def _first(drawn: CweChoices, words: int) -> CweChoices:
    """The choices with only the first words of what was drawn."""
    return CweChoices(**{**vars(drawn), "uncommon": drawn.uncommon[: words - len(drawn.common)]})
