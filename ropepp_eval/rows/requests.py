"""From a row to the lm-eval requests that an adapter answers. Light to import: no lm-eval task, no datasets library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from ropepp_eval.rows.row import Row

OWN_TYPES = ("whole_text", "rolling_window", "sliding_window")
"""Request types that lm-eval's own models do not answer."""


class RowInstance(Instance):
    """A request of a row: its task (`RowTask`) takes `Unanswered` for a response and leaves the row out of its scores."""


@dataclass(frozen=True)
class Unanswered:
    """What an adapter gives lm-eval in the place of a response to a `RowInstance` that failed, since lm-eval has no failed rows."""

    reason: str

    def __str__(self) -> str:
        """What lm-eval writes into its files of samples."""
        return self.reason


def requests_of(
    row: Row, output_type: str, generation: dict[str, Any], *, row_window: bool = False, **kwargs: Any
) -> list[Instance]:
    """The lm-eval instances of a row.

    - generate_until: (prompt, generation settings with the row's own budget)
    - multiple_choice: (prompt, choice) for each choice; loglikelihood: (prompt, the one choice). Of a row whose `details.read_characters`
      says how many characters of each choice are read only, these go with the prompt
    - whole_text, our own request type in the place of multiple_choice where the row has a window: (prompt, choice, {"window": tokens});
      prompt and choice are one text, whose last so many tokens are all scored but for the first
    - loglikelihood_rolling: (text,), read through the model's own window
    - rolling_window, our own request type in its place where `row_window` is true: (text, {"window": tokens}), read through the
      row's window, so that the answer hangs on nothing but the row
    - sliding_window: (text, {"window": tokens, "stride": tokens}), another of ours: see `adapters.native`
    """
    arguments: list[tuple[Any, ...]]
    request_type = output_type
    if output_type == "generate_until":
        arguments = [(row.prompt, {**generation, "max_gen_toks": row.max_new_tokens})]
    elif output_type in ("multiple_choice", "loglikelihood"):
        read = row.details.get("read_characters") or [0] * len(row.choices)
        arguments = [(row.prompt + one[:count], one[count:]) for one, count in zip(row.choices, read, strict=True)]
        request_type = "loglikelihood"
        if row.window_tokens:
            request_type = "whole_text"
            arguments = [(*pair, {"window": row.window_tokens}) for pair in arguments]
    elif output_type == "loglikelihood_rolling":
        if row.stride_tokens:
            request_type = "sliding_window"
            arguments = [(row.prompt, {"window": row.window_tokens, "stride": row.stride_tokens})]
        elif row_window and row.window_tokens:
            request_type = "rolling_window"
            arguments = [(row.prompt, {"window": row.window_tokens})]
        else:
            arguments = [(row.prompt,)]
    else:
        raise ValueError(f"output type {output_type!r} is none of lm-eval's four")
    return [RowInstance(request_type=request_type, arguments=a, idx=i, **kwargs) for i, a in enumerate(arguments)]  # type: ignore[arg-type]
