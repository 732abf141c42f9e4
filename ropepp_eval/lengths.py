"""Context lengths as people write them (`4k`) and as the code counts them (4,096 tokens)."""

from __future__ import annotations

import re

from ropepp_eval.errors import UserError

_WRITTEN = re.compile(r"(\d+)(k?)", re.IGNORECASE)
LONGEST_TOKENS = 16 * 1024 * 1024


def parse_length(text: str | int) -> int:
    """`"4k"` or `"4096"` or `4096` as tokens (1k is 1,024); `"0k"` or `0` is 0: BABILong's facts without any other text.

    Raises:
        UserError: the text is not a positive whole number with an optional `k`, nor `0k`.
    """
    if text == 0 or str(text).strip().lower() == "0k":
        return 0
    match = _WRITTEN.fullmatch(str(text).strip())
    tokens = int(match[1]) * (1024 if match[2] else 1) if match else 0
    if not 0 < tokens <= LONGEST_TOKENS:
        raise UserError(f"length {str(text)!r} is not a context length; write tokens or k-tokens, such as 4096 or 4k")
    return tokens


def parse_lengths(text: str) -> list[int]:
    """`"2k,4k,65536"` as a rising list of tokens without repeats."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise UserError(f"lengths {text!r} hold no length; write them with commas, such as 2k,4k,8k")
    return sorted({parse_length(part) for part in parts})


def format_length(tokens: int) -> str:
    """4096 as `4k`, 0 as `0k`; what is no multiple of 1,024 stays in digits."""
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else str(tokens)
