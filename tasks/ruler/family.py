"""What the families of tasks share: budgets, counting, private random streams, and putting a row together."""

from __future__ import annotations

import abc
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.streams import private_stream
from ropepp_eval.tasks.ruler.settings import settings
from ropepp_eval.tokens.counting import PieceCounter, piece_counter
from ropepp_eval.tokens.fitting import fit_size

Item = TypeVar("Item")
_PLACE = np.uint64((1 << 24) - 1)
"""The low bits of a sort key, which hold a place: a list of 16 million entries is longer than any prompt."""


class Family(abc.ABC):
    """Builds the rows of one (task, length); a subclass is one kind of task."""

    name: ClassVar[str]
    """Its entry in `protocols.yaml`."""

    def __init__(self, request: RowRequest) -> None:
        self.request = request
        self.settings: dict[str, Any] = settings(request.protocol)
        self.texts: dict[str, Any] = self.settings[self.name]
        self.counter: PieceCounter = piece_counter(request.tokenizer)
        self.max_new_tokens = int(self.settings["max_new_tokens"][self.name])
        """Generation budget in tokens."""
        self.prompt_budget = request.room_tokens - self.max_new_tokens
        """Tokens the prompt's text may hold."""

    @abc.abstractmethod
    def row(self, number: int) -> Row:
        """Row `number`.

        Raises:
            TooShort: not even the smallest prompt fits the length.
            UserError: a corpus is too small for the length.
        """

    def rows_available(self) -> int | None:
        """How many rows the corpus gives; None: as many as one likes."""
        return None

    def stream(self, number: int, part: str) -> random.Random:
        """The private random stream of a part of a row."""
        request = self.request
        return private_stream("ruler", request.task, request.length_tokens, number, request.seed, part)

    def use_real_counts(self) -> None:
        """Give up counting by pieces: this tokenizer's pieces do not add up after all."""
        self.counter = PieceCounter(self.request.tokenizer, independent=False)

    def fit(
        self, estimate: Callable[[int], int], count: Callable[[int], int], smallest: int, largest: int
    ) -> tuple[int, int]:
        """The largest size whose prompt is within the budget, and the tokens of that prompt; see `fit_size`."""
        return fit_size(estimate, count, self.prompt_budget, smallest, largest)

    def _answer_prefix(self, prompt: str) -> str:
        """The end of a prompt that is the family's answer prefix, its fields filled."""
        begin = str(self.texts["answer_prefix"]).partition("{")[0]
        return prompt[prompt.rindex(begin) :] if begin else ""

    def make_row(self, number: int, prompt: str, prompt_tokens: int, references: tuple[str, ...], **others: Any) -> Row:
        """The row of a prompt."""
        return Row(
            task=self.request.task,
            length_tokens=self.request.length_tokens,
            row=number,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            answer_prefix=self._answer_prefix(prompt),
            references=references,
            max_new_tokens=self.max_new_tokens,
            **others,
        )


class Shuffle:
    """The order that a seed gives lists of each length up to `most`, found by sorting random keys.

    The keys of a shorter list are the first ones of a longer list's, so they are drawn once for all sizes of a row. They
    come from PCG64, whose bits numpy keeps the same in all releases and on all machines.
    """

    def __init__(self, seed: int, most: int) -> None:
        keys = np.random.PCG64(seed).random_raw(most)
        self._keys = (keys & ~_PLACE) | np.arange(most, dtype=np.uint64)  # sorting these sorts the places; no two are equal

    def of(self, words: Sequence[Item]) -> list[Item]:
        """The words, shuffled."""
        found: list[Item] = np.array(words, dtype=object)[self.order(len(words))].tolist()
        return found

    def order(self, count: int) -> np.ndarray[Any, Any]:
        """The places 0 to `count - 1`, shuffled; shape [count]."""
        return (np.sort(self._keys[:count]) & _PLACE).astype(np.intp)


def shuffled(words: Sequence[Item], seed: int | str) -> list[Item]:
    """The words in an order drawn with a seed: an int as the reference shuffles, a str of digits by `Shuffle`, which is quicker."""
    if isinstance(seed, int):
        in_order = list(words)
        random.Random(seed).shuffle(in_order)
        return in_order
    return Shuffle(int(seed), len(words)).of(words)


def chosen(stream: random.Random, pool: Sequence[Item], count: int) -> list[Item]:
    """`count` different entries of a pool, in the order drawn; as `stream.sample`, several times quicker."""
    if 2 * count > len(pool):  # few would be left to draw the last ones from
        return Shuffle(stream.getrandbits(64), len(pool)).of(pool)[:count]
    places: dict[int, None] = {}
    while missing := count - len(places):
        drawn = np.frombuffer(stream.randbytes(8 * missing), dtype="<u8") % len(pool)
        places |= dict.fromkeys(drawn.tolist())
    return [pool[place] for place in places]


def line_tokens(counter: PieceCounter, line: str, glue: str = "\n") -> int:
    """Tokens of a line among lines that begin alike: from its first cut to the first cut of the line after it."""
    first, _, rest = line.partition(" ")
    return counter.count_inside(f" {rest}{glue}{first}")


@functools.lru_cache(maxsize=8)
def number_tokens(counter: PieceCounter, after: str, most: int) -> list[int]:
    """Running tokens of ` 1{after}`, ` 2{after}`, ...: entry n is the sum over the first n numbers."""
    total, running = 0, [0]
    for tokens in counter.each_inside([f"{number}{after}" for number in range(1, most + 1)]):
        total += tokens
        running.append(total)
    return running
