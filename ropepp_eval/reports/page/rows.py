"""The rows that the page holds: which are kept, and their columns."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.naming import checkpoint_labels
from ropepp_eval.reports.page.parts import Rows
from ropepp_eval.reports.page.prompts import excerpt
from ropepp_eval.reports.row_views import OUTCOMES, PromptOf, RowView, row_views
from ropepp_eval.words import counted

DEFAULT_ROWS = 10_000
"""Rows of a page that opens and filters at once."""
SAMPLE_SEED = 20260301
LONGEST_TEXT = 2000
"""Characters of an answer or another text that the page holds."""
LONGEST_DETAILS = 600
RIGHT_SHARE = 10
"""Where not all rows are kept, one in so many is kept for right ones, so that a reader sees some."""
TROUBLE, WRONG, RIGHT = ("failed", "unscored"), ("wrong", "partly"), ("right", "scored")


def parse_limit(text: str) -> int | str:
    """`all`, `wrong`, or how many rows a page holds at most.

    Raises:
        UserError: it is none of these.
    """
    if text in ("all", "wrong"):
        return text
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return int(text)
    raise UserError(f"--rows {text!r} is not known; it may be all, wrong (no right answers), or a number such as 10000")


def rows_of_page(cells: Cells, limit: int | str, prompt_of: PromptOf | None = None) -> Rows:
    """The rows kept by `limit` (see `parse_limit`), with a sentence about those that are not.

    Args:
        prompt_of: gives a row's prompt, for its ends and the places of the references; None shows no prompt.
    """
    views = row_views(cells)
    kept = chosen(views, limit)
    places = {one: number for number, one in enumerate(checkpoint_labels(cells.cells))}
    names: dict[str, _Names] = {name: _Names() for name in ("task", "protocol", "finish", "metric")}
    asked: dict[tuple[Any, ...], int] = {}
    questions: dict[str, list[Any]] = {}
    answers: dict[str, list[Any]] = {}
    for view in kept:
        key = (view.cell.name[3:], view.record["row_sha256"])
        if key not in asked:
            asked[key] = len(asked)
            text = excerpt(prompt_of(view), view.references) if prompt_of else ""
            _add(questions, {**_question(view, names), "prompt": text})
        answer = _answer(view, names)
        _add(answers, {"question": asked[key], "checkpoint": places[view.checkpoint], **answer})
    listed: dict[str, Sequence[str]] = {name: list(known) for name, known in names.items()}
    return Rows(len(views), _said(views, kept), {**listed, "outcome": OUTCOMES}, questions, answers)


def chosen(views: Sequence[RowView], limit: int | str) -> list[RowView]:
    """Failed rows first, then wrong, then right ones; of a kind that is not kept whole a seeded sample, which asks every checkpoint the
    same questions. In the order given."""
    if limit == "all" or (isinstance(limit, int) and len(views) <= limit):
        return list(views)
    if isinstance(limit, str):
        return [view for view in views if view.outcome not in RIGHT]
    kinds = [[view for view in views if view.outcome in kind] for kind in (TROUBLE, WRONG, RIGHT)]
    room = limit - min(len(kinds[2]), limit // RIGHT_SHARE)
    taken: set[int] = set()
    for kind in kinds:
        if kind is kinds[2]:
            room = limit - len(taken)
        some = sorted(kind, key=_draw)[:room]
        taken |= {view.number for view in some}
        room -= len(some)
    return [view for view in views if view.number in taken]


def _draw(view: RowView) -> bytes:
    return hashlib.sha256(f"{SAMPLE_SEED}/{view.record['row_sha256']}".encode()).digest()


def _said(views: Sequence[RowView], kept: Sequence[RowView]) -> str:
    """Which rows are left out; empty where none is."""
    if len(kept) == len(views):
        return ""
    there, all_ = Counter(view.outcome for view in kept), Counter(view.outcome for view in views)
    parts = [f"{there[name]:,} of {all_[name]:,} {name}" for name in OUTCOMES if all_[name]]
    return (
        f"this page holds {counted(len(kept), 'row')} of {len(views):,}: {', '.join(parts)}; where a kind is not whole, a seeded "
        "sample of questions, the same ones for every checkpoint (ropepp-eval report --rows all keeps every row; tables and "
        "charts count every row in any case)"
    )


class _Names(dict[str, int]):
    """Numbers for names, in the order in which they are met."""

    def number(self, name: str) -> int:
        return self.setdefault(inert(name), len(self))


def _add(columns: dict[str, list[Any]], values: dict[str, Any]) -> None:
    for name, value in values.items():
        columns.setdefault(name, []).append(value)


def _question(view: RowView, names: dict[str, _Names]) -> dict[str, Any]:
    """What is the same for every checkpoint."""
    record, name = view.record, view.cell.name
    shown = {"needles", "depths_percent", "depths", "depth", "question"}
    details = {key: value for key, value in (record.get("details") or {}).items() if key not in shown}
    return {
        "task": names["task"].number(name.task),
        "protocol": names["protocol"].number(name.protocol),
        "length": name.length_tokens,
        "length_name": name.length,
        "row": record["row"],
        "text": short(view.question) if view.question else "",
        "references": [short(one) for one in view.references],
        "depths": [round(depth, 1) for depth in view.depths],
        "details": short(json.dumps(details, ensure_ascii=False), LONGEST_DETAILS) if details else "",
        "stand_in": int(bool(record.get("stand_in"))),
        "cluster": short(str(record.get("cluster") or ""), 200),
    }


def _answer(view: RowView, names: dict[str, _Names]) -> dict[str, Any]:
    """What one checkpoint answered."""
    record = view.record
    scores = record.get("scores") or {}
    others = {inert(name): _rounded(score) for name, score in scores.items() if name != view.metric}
    score = view.score
    return {
        "id": row_id(view),
        "outcome": OUTCOMES.index(view.outcome),
        "metric": names["metric"].number(view.metric),
        "score": None if score is None else _rounded(score),
        "others": others or 0,
        "text": short(view.answer),
        "finish": names["finish"].number(str(record.get("finish") or "")),
        "prompt_tokens": record.get("prompt_tokens"),
        "new_tokens": record.get("new_tokens"),
        "budget": record.get("budget"),
        "cut": int(bool(record.get("cut"))),
        "seconds": _rounded(record.get("seconds")),
        "failure": short(view.failure) if view.failure else "",
    }


def row_id(view: RowView) -> str:
    """What a link to a row names: the same in every page that holds the row."""
    named = json.dumps([*view.cell.name, view.record["row"]])
    return hashlib.sha256(named.encode()).hexdigest()[:12]


def short(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, inert; of a longer one its head and tail, and how much is left out."""
    if len(text) <= longest:
        return inert(text, keep="\n\t")
    tail = longest // 4
    cut = f" [... {len(text) - longest:,} characters left out ...] "
    return inert(text[: longest - tail], keep="\n\t") + cut + inert(text[-tail:], keep="\n\t")


def _rounded(value: Any) -> Any:
    """Numbers with six digits; what JSON can't hold (NaN, infinity) is None."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_rounded(one) for one in value]
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.6g}")
    return rounded if abs(rounded) < float("inf") else None
