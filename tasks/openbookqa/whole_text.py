"""The paper's ranking: perplexity of the whole prompt with each choice's letter (OpenCompass 0.4.2, `obqa_ppl_c7c154`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.openbookqa.corpus import Question
from ropepp_eval.tokens.tokenizer import Tokenizer

LETTERS = "ABCD"


def whole_text(question: Question, letter: str) -> str:
    """What the model reads for one choice: question, all choices, and one letter after a newline."""
    choices = "\n".join(f"{name}. {choice}" for name, choice in zip(LETTERS, question.choices, strict=True))
    return f"Question: {question.stem}\n{choices}\nAnswer:\n{letter}"


def whole_text_parts(question: Question, tokenizer: Tokenizer) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The text's first token as prompt and the rest as continuation, so that every later token is scored and no other.

    Where the tokenizer itself puts a BOS before texts, the prompt is empty (lm-eval's prefix token is then the BOS), so the
    first token of the text is scored too, and the BOS counts as a token, as in OpenCompass.
    """
    texts = [whole_text(question, letter) for letter in LETTERS]
    has_bos = bool(tokenizer.most_added_tokens)
    first = "" if has_bos else tokenizer.decode(tokenizer.encode(texts[0])[:1])
    tokens = [count + has_bos for count in tokenizer.count_each(texts)]
    return first, tuple(text[len(first) :] for text in texts), {"tokens_of_choices": tokens}


def text_perplexities(row: Row, responses: Sequence[tuple[float, bool]]) -> list[float]:
    """OpenCompass's `ppl` of each choice: the sum of token losses over the number of tokens, the unscored first included.

    (It is a mean loss, not its exponential; the name is OpenCompass's.)
    """
    tokens = row.details["tokens_of_choices"]
    return [-float(log_likelihood) / count for (log_likelihood, _), count in zip(responses, tokens, strict=True)]


def whole_text_scores(row: Row, responses: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """`acc`: the choice whose text is least surprising is the right one; the first of equals wins."""
    perplexities = text_perplexities(row, responses)
    return {"acc": float(perplexities.index(min(perplexities)) == row.gold)}
