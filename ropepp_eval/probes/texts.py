"""A row as ids: its prompt with the right answer behind it, and where in it the needles lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.rows.row import Row
from ropepp_eval.tokens.ids import Tokenizer


@dataclass(frozen=True)
class Text:
    """What the model reads."""

    ids: tuple[int, ...]
    """Prompt, and the answer where there is one."""
    answer: tuple[int, ...]
    """The answer's ids, the last of `ids`; empty where the row has none."""
    needles: tuple[range, ...]
    """Tokens of each fact that is asked for, from its first token to the last one of its value."""
    depth_percent: float | None
    """Where the fact lies, 0 to 100; None where there is none, or are several."""

    @property
    def asking(self) -> range:
        """Places of the queries that predict the answer's tokens; of the last token alone where there is no answer."""
        end = len(self.ids)
        return range(end - len(self.answer) - 1, end - 1) if self.answer else range(end - 1, end)


def text_of(row: Row, tokenizer: Tokenizer) -> Text:
    """The row's prompt with its first reference as the model would write it: behind a blank."""
    prompt = tokenizer.prompt_ids(row.prompt)
    whole = tokenizer.prompt_ids(f"{row.prompt} {row.references[0]}") if row.references else prompt
    answer = tuple(whole[len(prompt) :]) if whole[: len(prompt)] == prompt else ()
    asked = _asked(row)
    ranges = tuple(_tokens_of(row, needle, tokenizer) for needle in asked)
    return Text((*prompt, *answer), answer, ranges, float(asked[0]["depth_percent"]) if len(asked) == 1 else None)


def _asked(row: Row) -> list[dict[str, Any]]:
    """Needles of the row's details that are asked for and say where they lie."""
    needles = row.details.get("needles") or ()
    return [one for one in needles if one.get("queried") and "token_position" in one and one.get("value") in row.prompt]


def _tokens_of(row: Row, needle: dict[str, Any], tokenizer: Tokenizer) -> range:
    """From the needle's first token to the last one of its value, a BOS before the text counted."""
    before = len(tokenizer.prompt_ids(row.prompt)) - len(tokenizer.encode(row.prompt))  # special tokens stand in front
    end = row.prompt.index(needle["value"]) + len(needle["value"])
    return range(before + int(needle["token_position"]), before + tokenizer.count(row.prompt[:end]))


def check_needles(task: str, rows: Sequence[Row]) -> None:
    """Raise UserError where a row asks for no fact at a known place."""
    for row in rows:
        if not _asked(row):
            raise UserError(
                f"task {task} hides no needle at a known depth (row {row.row}), so attention has nothing to be measured against; name "
                "one that does, such as --tasks niah_single_1, or look without needles by --no-needle"
            )
