"""What the families of tasks share: budgets, counting, private random streams, and putting a row together."""

from __future__ import annotations

import abc
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from ropepp_eval.synthetic.fitting import fit_size
from ropepp_eval.synthetic.piece_counting import PieceCounter, piece_counter
from ropepp_eval.synthetic.rows import Row, RowRequest, private_stream
from ropepp_eval.tasks.ruler.settings import settings

Item = TypeVar("Item")


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
        self.prompt_budget = request.length_tokens - self.max_new_tokens
        """Tokens the prompt may hold."""

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

    def count_list(self, head: str, words: list[str], tail: str, inside: int) -> int:
        """Tokens of head, words with a blank between them, and tail.

        Where pieces add up, only a text with the first and the last word is tokenized: the others touch nothing else.

        Args:
            head, words, tail: the text; at least two words, which may have blanks inside.
            inside: tokens of all words together where each follows a cut.
        """
        if not self.counter.independent:
            return self.counter.count(head + " ".join(words) + tail)
        first, last = words[0], words[-1]
        return self.counter.count(f"{head}{first} {last}{tail}") + inside - sum(self.counter.each_inside([first, last]))

    def make_row(self, number: int, prompt: str, prompt_tokens: int, references: tuple[str, ...], **others: Any) -> Row:
        """The row of a prompt."""
        return Row(
            task=self.request.task,
            length_tokens=self.request.length_tokens,
            row=number,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            references=references,
            max_new_tokens=self.max_new_tokens,
            **others,
        )


def shuffled(words: Sequence[Item], seed: int | str) -> list[Item]:
    """The words in an order drawn with a seed: an int as the reference shuffles, a str by sorting random keys, which is quicker."""
    stream = random.Random(seed)
    if isinstance(seed, int):
        in_order = list(words)
        stream.shuffle(in_order)
        return in_order
    keys = np.frombuffer(stream.randbytes(8 * len(words)), dtype="<u8")
    return [words[i] for i in np.argsort(keys, kind="stable").tolist()]


def chosen(stream: random.Random, pool: Sequence[Item], count: int) -> list[Item]:
    """`count` different entries of a pool, in the order drawn; as `stream.sample`, several times quicker."""
    if 2 * count > len(pool):  # few would be left to draw the last ones from
        return shuffled(pool, str(stream.getrandbits(64)))[:count]
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
