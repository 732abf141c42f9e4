"""The chat format: a task's prompt inside the template that a chat model was trained with.

The template is the tokenizer's own, rendered by transformers in jinja's sandbox. A row must not depend on the day it is made, so a
template that asks for the date gets the same one always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

if TYPE_CHECKING:
    from ropepp_eval.tokens.ids import Tokenizer

FORMATS = ("base", "chat")
THINK, END_OF_THINKING = "<think>", "</think>"
"""What thinking models write around what is not their answer; a template may open it already."""
_DAY = {
    "%d": "26",
    "%-d": "26",
    "%b": "Jul",
    "%B": "July",
    "%m": "07",
    "%Y": "2024",
    "%y": "24",
    "%a": "Fri",
    "%A": "Friday",
}
_SAME_DAY = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(
        f" | replace('{directive}', '{text}')"
        for directive, text in (_DAY | dict.fromkeys(("%H", "%M", "%S"), "00")).items()
    )
    + " }}{% endmacro %}{{ '' }}"
)
"""Stands before a template: its `strftime_now` is that of 26 July 2024. What follows an expression keeps its white space."""
_PROBE, _ANSWER = "Which word is hidden in 3 lines?", "It is harbour."
_SEAM_TOKENS = 2
"""By so many a text's count may differ between template and text alone, at each of its two ends."""


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """How prompts are asked in chat, and what was learned of the template."""

    template: str
    system: str | None
    """The system message; None: what the template says by itself."""
    reasoning_budget: int
    """Tokens that a thinking model may think before its answer; they are not scored. Over 0, a task's answer prefix stays in the
    question, where thinking can come before the answer."""
    frame_tokens: int = 0
    """Tokens that template, system message and reasoning budget need beside a prompt."""
    end_ids: frozenset[int] = frozenset()
    """Added tokens that end the assistant's turn."""
    stops: tuple[str, ...] = ()
    """The text that ends it, where no added token does."""


def chat_format(tokenizer: Tokenizer, system: str | None, reasoning_budget: int) -> ChatFormat:
    """The format of a tokenizer whose template renders a question as it should.

    Raises:
        UserError: there is no template, it fails, or it leaves out the question or the system message.
    """
    try:
        template = str(tokenizer.fast.get_chat_template())
    except (AttributeError, ValueError):  # there is none, or several without a default
        raise UserError(
            f"tokenizer {inert(tokenizer.name)} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); "
            "leave --prompt-format out, or name a tokenizer that has one with --tokenizer"
        ) from None
    found = ChatFormat(template=template, system=system, reasoning_budget=reasoning_budget)
    asked = render(tokenizer, found, _PROBE)
    if _PROBE not in asked:
        raise UserError(
            f"tokenizer {inert(tokenizer.name)}: its chat template drops the user's message; use --prompt-format base"
        )
    if system is not None and system.strip() not in asked:
        raise UserError(
            f"tokenizer {inert(tokenizer.name)}: its chat template drops the system message; leave --system out, or put its text into "
            "the task"
        )
    frame = tokenizer.count(asked) - tokenizer.count(_PROBE) + 2 * _SEAM_TOKENS + reasoning_budget
    end_ids, stops = _end_of_turn(tokenizer, found)
    return ChatFormat(
        template=found.template,
        system=system,
        reasoning_budget=reasoning_budget,
        frame_tokens=frame,
        end_ids=end_ids,
        stops=stops,
    )


def chat_text(tokenizer: Tokenizer, prompt: str, answer_prefix: str) -> str:
    """What enters the model for a prompt that ends with `answer_prefix`: template, question, template, and the prefix as the beginning of
    the answer (with a reasoning budget the whole prompt is the question).

    Raises:
        UserError: the template fails on this prompt.
    """
    chat = tokenizer.chat
    assert chat is not None
    if answer_prefix and not chat.reasoning_budget:
        return render(tokenizer, chat, prompt.removesuffix(answer_prefix)) + answer_prefix
    return render(tokenizer, chat, prompt)


def render(tokenizer: Tokenizer, chat: ChatFormat, question: str, answer: str | None = None) -> str:
    """The conversation's text: up to where the answer begins, or with the answer as a finished turn.

    Raises:
        UserError: the template fails.
    """
    messages = [{"role": "system", "content": chat.system}] if chat.system is not None else []
    messages.append({"role": "user", "content": question})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    try:
        text: str = tokenizer.fast.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=answer is None,
            chat_template=_SAME_DAY + chat.template,
            enable_thinking=chat.reasoning_budget > 0,
        )
    except Exception as error:  # a template may do anything in its sandbox, and raises its own refusals
        reason = inert(" ".join(str(error).split()))[:160] or type(error).__name__
        raise UserError(
            f"tokenizer {inert(tokenizer.name)}: its chat template fails ({reason}); use --prompt-format base"
        ) from error
    return text


def _end_of_turn(tokenizer: Tokenizer, chat: ChatFormat) -> tuple[frozenset[int], tuple[str, ...]]:
    """What follows an answer: an added token, or a text."""
    try:
        _, found, tail = render(tokenizer, chat, _PROBE, _ANSWER).rpartition(_ANSWER)
    except UserError:  # a template for questions alone
        return frozenset(), ()
    if not found or not tail.strip():
        return frozenset(), ()
    added: dict[int, Any] = tokenizer.fast.added_tokens_decoder
    first = tokenizer.encode(tail.lstrip())[0]
    return (frozenset({first}), ()) if first in added else (frozenset(), (tail.strip(),))
