"""Generated pages that stand in for WikiText-2 where no data folder is named."""

from __future__ import annotations

import functools
from itertools import islice

from ropepp_eval.text.filler import filler_sentences

_PAGES, _PARAGRAPHS, _SENTENCES = 60, 20, 8
"""About 180,000 tokens of GPT-2's tokenizer, enough for a window of 128k."""


@functools.lru_cache(maxsize=2)
def stand_in_text(split: str) -> str:
    """A raw file in WikiText's form: headings between `=`, blank lines of one blank, punctuation as words of its own."""
    return "".join(_page(split, number) for number in range(_PAGES))


def _page(split: str, number: int) -> str:
    sentences = filler_sentences("wikitext", split, number)
    title = " ".join(next(sentences).split()[1:4]).rstrip(",.")
    lines = [" ", f" = {title} = ", " "]
    for _ in range(_PARAGRAPHS):
        lines += [f" {_tokenized(' '.join(islice(sentences, _SENTENCES)))} "]
    return "".join(line + "\n" for line in [*lines, " "])


def _tokenized(text: str) -> str:
    return text.replace(",", " ,").replace(".", " .")
