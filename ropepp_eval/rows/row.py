"""A row: one sample of a task at one length, and everything that decides its content."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ropepp_eval.hashing import hash_json, hash_text
from ropepp_eval.tokens.counting import piece_counter

if TYPE_CHECKING:
    from ropepp_eval.data import DataFolder
    from ropepp_eval.tokens.tokenizer import Tokenizer


SHORTEST_QUESTION, LONGEST_QUESTION = 40, 400
"""Characters of a prompt's end that are taken for its question: whole lines until there are so many, and at most so many."""


@dataclass(frozen=True, kw_only=True)
class RowRequest:
    """What a task is asked to build: rows `0 .. samples - 1` of one (task, length)."""

    task: str
    """The task's own name, without a length."""
    length_tokens: int
    """What enters the model for a prompt (a BOS included) and the generation budget together fit this many tokens."""
    samples: int
    """How many rows; a corpus with fewer gives all it has."""
    seed: int
    protocol: str
    """`reference` or `paper`."""
    tokenizer: Tokenizer
    data: DataFolder
    kept_free_tokens: int = 0
    """Tokens of the length that builders leave alone."""

    @property
    def room_tokens(self) -> int:
        """Tokens of text and generation budget that fit the length, beside what enters with the text: special tokens (a BOS), or the
        chat template."""
        return self.length_tokens - self.tokenizer.most_added_tokens - self.kept_free_tokens

    def entering_tokens(self, text: str) -> int:
        """Tokens that enter the model where `text` is the prompt, or prompt and continuation."""
        return piece_counter(self.tokenizer).count(text) + self.tokenizer.added_tokens(text)


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One sample. It depends on (task, length, row, seed, protocol, tokenizer, data) and on nothing else."""

    task: str
    length_tokens: int
    row: int
    """Number of the row in its cell, from 0."""
    prompt: str
    """What the model reads, answer prefix included; for rolling and sliding-window tasks the text to score."""
    prompt_tokens: int
    """Tokens that enter the model for `prompt`, a BOS included. Builders count the text alone; `frozen_rows` adds the rest."""
    references: tuple[str, ...] = ()
    """Right answers, for tasks that generate."""
    answer_prefix: str = ""
    """The end of `prompt` that begins the answer; only builders say it: `frozen_rows` puts it where the prompt's format has it."""
    max_new_tokens: int = 0
    """Generation budget in tokens; 0 where nothing is generated."""
    choices: tuple[str, ...] = ()
    """Continuations to score, with their leading blank; one of them for plain log-likelihood tasks."""
    gold: int | None = None
    """Index of the right choice."""
    window_tokens: int = 0
    """Over 0: `prompt` is a text read through windows of this many tokens, not a prompt that must fit at once. With `choices`: prompt and
    choice are one text, and its last so many tokens are read and scored."""
    stride_tokens: int = 0
    """Over 0: windows end every `stride_tokens`; 0: lm-eval's rolling windows, each token scored once."""
    stand_in: bool = False
    """True where generated text stands in for the real corpus; tables mark it."""
    cluster: str = ""
    """Source document, where rows share one (statistics are clustered by it)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: needle depths (0-100 %), token positions, question number, ..."""

    @functools.cached_property
    def sha256(self) -> str:
        """Key of the row: the hash of its content, the prompt by its own hash (escaping a long text takes longer than hashing it)."""
        return hash_json(self.as_doc() | {"prompt": hash_text(self.prompt)})

    @property
    def question(self) -> str:
        """What is asked: as the builder noted it (`details.question`), else the prompt's last lines. Empty for a text that is only read."""
        noted = self.details.get("question")
        if isinstance(noted, str) or (self.window_tokens and not self.choices):
            return str(noted or "").strip()
        lines = self.prompt[-LONGEST_QUESTION:].strip().split("\n")
        question = lines.pop()
        while lines and len(question) < SHORTEST_QUESTION:  # `Answer:` alone says nothing
            question = f"{lines.pop()}\n{question}"
        return question

    def __eq__(self, other: object) -> bool:
        """Rows are equal where their content is, wherever they keep it."""
        return self.as_doc() == other.as_doc() if isinstance(other, Row) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # details may hold lists; `sha256` is the key

    def as_doc(self) -> dict[str, Any]:
        """The row as a flat, JSON-able dictionary, which is what lm-eval calls a doc."""
        doc = asdict(self) | {"references": list(self.references), "choices": list(self.choices)}
        del doc["answer_prefix"]
        return doc


RowBuilder = Callable[[RowRequest], list[Row]]


def row_from_doc(doc: Mapping[str, Any]) -> Row:
    """The inverse of `Row.as_doc`."""
    return Row(**{**doc, "references": tuple(doc["references"]), "choices": tuple(doc["choices"])})
