"""A training document: tokens, and how much each counts in the loss."""

from __future__ import annotations

from dataclasses import dataclass, field

from ropepp_eval.tokens.tokenizer import Tokenizer

ANSWER = 1.0
"""Weight of a token that follows from what was read before: a digit of a needle, a copy."""
SHORT_ANSWER = 4.0
"""Weight of a whole prompt's answer of one token, so that it counts about as much as one of several: the room of a person."""
TEXT = 0.06
"""Weight of running text, instructions and frames: they are learned too, but most tokens are of this kind."""
NOTHING = 0.0
"""Weight of tokens drawn at random, of which nothing can be learned."""


@dataclass
class Document:
    """Tokens in reading order; `weights[i]` is what predicting `tokens[i]` counts in the loss."""

    tokenizer: Tokenizer
    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    """Whole prompts in an evaluation's form that the document holds, for the test that none is an evaluation's."""

    def add(self, text: str, weight: float = TEXT) -> None:
        """Append a piece that begins where the tokenizer cuts anyway: at a blank, a newline or the text's begin."""
        self.add_tokens(encode(self.tokenizer, text), weight)

    def add_tokens(self, tokens: list[int], weight: float) -> None:
        """Append tokens that count `weight` each."""
        self.tokens += tokens
        self.weights += [weight] * len(tokens)

    def __len__(self) -> int:
        return len(self.tokens)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """`Tokenizer.encode` without its detour through transformers, which takes longer than a training step can spare."""
    ids: list[int] = tokenizer.fast.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids
