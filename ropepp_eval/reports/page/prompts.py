"""What a page shows of a prompt: its head, its tail, and the places where a reference stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ropepp_eval.inert import inert

END, AROUND = 500, 150
"""Characters kept at each end, and on each side of a reference."""
MOST_PLACES = 6


def excerpt(prompt: str, references: Sequence[str]) -> str:
    """The prompt, inert, with how many characters are left out where it was cut.

    Args:
        references: texts whose first places are kept with what stands around them, whatever their letters' case.
    """
    spans = [(0, END), *_places(prompt, references), (len(prompt) - END, len(prompt))]
    parts, shown = [], 0
    for start, end in sorted(spans):
        if end <= shown:
            continue
        start = max(start, shown)
        if start > shown:
            parts.append(f" [... {start - shown:,} characters left out ...] ")
        parts.append(inert(prompt[start:end], keep="\n\t"))
        shown = min(end, len(prompt))
    return "".join(parts)


def _places(prompt: str, references: Sequence[str]) -> list[tuple[int, int]]:
    wanted = [re.escape(one.strip()) for one in references if one.strip()]
    if not wanted:
        return []
    found = list(re.finditer("|".join(wanted), prompt, re.IGNORECASE))[:MOST_PLACES]
    return [(match.start() - AROUND, match.end() + AROUND) for match in found]
