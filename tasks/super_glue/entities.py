"""ReCoRD's score in OpenCompass 0.4.2: exact match after its post-processor and its normalisation (`EMEvaluator`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ropepp_eval.rows.row import Row

_END = re.compile(r"[.,\n]")
_SIGNS = re.compile(r"[^\w\s]")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


def first_line(text: str) -> str:
    """The first line that holds something, without any `Answer: `."""
    return text.strip().partition("\n")[0].replace("Answer: ", "").strip()


def normalised(text: str) -> str:
    """Up to the first full stop, comma or newline, without punctuation and articles; case is kept."""
    begin = _END.split(text, maxsplit=1)[0]
    return " ".join(_ARTICLES.sub("", _SIGNS.sub("", begin)).split())


def entity_scores(row: Row, responses: Sequence[Any]) -> dict[str, Any]:
    """`acc`: the normalised answer is one of the right ones, as they are or normalised."""
    answer = normalised(first_line(str(responses[0])))
    return {"acc": float(answer in row.references or answer in map(normalised, row.references))}
