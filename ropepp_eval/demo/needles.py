"""Needles and variable chains as training documents, drawn and rendered by the evaluation's own task code."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from typing import Any

from ropepp_eval.demo.document import ANSWER, TEXT, Document, encode
from ropepp_eval.text.filler import filler_sentences
from ropepp_eval.text.word_pools import adjective_nouns

_SENTENCE = "One of the special magic numbers for {key} is: {value}."
_QUESTION = "The special magic number for {key} mentioned in the provided text is"
_DENSE_TOKENS = 52
_FOLLOW_UP_TOKENS = 45
_MOST_LINES = 20


def dense_needles(document: Document, stream: random.Random, room: int) -> None:
    """Needle sentences with little text between them, then each key's answer prefix and number, in another order."""
    count = stream.randint(1, max(1, min(5, room // _DENSE_TOKENS)))
    table = [(adjective_nouns().draw(stream), str(stream.randint(10**6, 10**7 - 1))) for _ in range(count)]
    for key, value in table:
        document.add(_SENTENCE.format(key=key, value=value) + "\n")
    for key, value in stream.sample(table, count):
        document.add(_QUESTION.format(key=key))
        document.add(f" {value}.", ANSWER)
        document.add("\n")


def needle_prompt(document: Document, stream: random.Random, room: int, task: str = "niah_single_1") -> None:
    """A whole prompt of a `niah_*` task with its answer, at a random size within `room` tokens, and further questions."""
    from ropepp_eval.tasks.ruler.niah import draw_niah, draw_pool, frame, render_niah
    from ropepp_eval.tasks.ruler.settings import niah_task, settings

    texts, kind = settings("reference")["niah"], niah_task(task, "reference")
    pool = draw_pool(kind, stream, _MOST_LINES) if kind.haystack == "needle" else []
    draw = draw_niah(kind, lambda part: stream, texts["depth_steps"], pool, len(pool))
    haystack = _haystack(stream.randrange(1000)) if kind.haystack == "essay" else None
    share = 1.0 if stream.random() < 0.3 else stream.random()
    most = {"essay": room, "noise": _MOST_LINES, "needle": len(draw.further)}[kind.haystack]
    fewest = 40 if kind.haystack == "essay" else 1
    answer = " " + ", ".join(draw.answers) + "."
    while True:
        choices = draw.at(max(fewest, int(most * share)), haystack)
        prompt = render_niah(choices, kind, texts, haystack).text
        tokens = encode(document.tokenizer, prompt)
        used = len(tokens) + len(encode(document.tokenizer, answer))
        if used <= room or most * share <= fewest:
            break
        share *= min(0.95, room / used)
    document.prompts.append(prompt)
    document.add_tokens(tokens, TEXT)
    document.add(answer, ANSWER)
    others = [n for n in (*choices.needles, *choices.distractors) if n.key not in choices.queries]
    for needle in stream.sample(others, min(len(others), 3)):
        if kind.values > 1 or used + _FOLLOW_UP_TOKENS > room:
            break
        single = frame(_asking(choices, needle.key, needle.value), kind, texts)[1]
        document.add(single)
        document.add(f" {needle.value}.", ANSWER)
        used += _FOLLOW_UP_TOKENS


def variable_chain(document: Document, stream: random.Random, room: int) -> None:
    """The variable-tracking prompt without its worked example, with few noise lines, and its answer."""
    from ropepp_eval.tasks.ruler.settings import settings
    from ropepp_eval.tasks.ruler.vt import draw_vt, render_vt

    draw = draw_vt(stream, 5)
    prompt, _ = render_vt(draw.at(stream.randint(4, max(4, min(8, room // 40)))), settings("reference")["vt"])
    document.add(prompt)
    document.add(" " + " ".join(draw.variables) + ".", ANSWER)


def _asking(choices: Any, key: str, value: str) -> Any:
    import dataclasses

    return dataclasses.replace(choices, queries=(key,), answers=(value,))


@functools.lru_cache(maxsize=64)
def _haystack(number: int) -> Any:
    """Filler of its own for training: never the evaluation's haystack."""
    from ropepp_eval.tasks.ruler.haystacks import Haystack

    sentences = [sentence.split(" ") for sentence in itertools.islice(filler_sentences("demo haystack", number), 60)]
    words: Sequence[str] = [word for sentence in sentences for word in sentence]
    offsets = list(itertools.accumulate((len(word) + 1 for word in words), initial=0))
    begins = list(itertools.accumulate((len(sentence) for sentence in sentences), initial=0))[:-1]
    return Haystack(tuple(words), tuple(words), tuple(offsets[i] for i in begins), stand_in=True)
