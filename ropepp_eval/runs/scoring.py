"""From the responses of a row to its scores, and from responses to what a line keeps of them and back."""

from __future__ import annotations

import math
from typing import Any

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.rows.catalogue import TaskEntry
from ropepp_eval.rows.row import Row


class RowIsGone(Exception):
    """A scorer asks for something of a row that is not stored and can't be made again; the message says why."""


def scores_of(task: TaskEntry, row: Row, responses: list[Any]) -> tuple[dict[str, Any] | None, Failure | None]:
    """Scores of an answered row, or why it has none.

    Raises:
        RowIsGone: `row` is a stored one, and what its scorer asks for is gone.
    """
    try:
        scores = {name: _plain(value) for name, value in task.score_row()(row, responses).items()}
    except RowIsGone:
        raise
    except Exception as error:  # one bad row never stops the others; it is counted as failed and keeps its reason
        return None, Failure("score", type(error).__name__, str(error)[:500])
    for name, value in scores.items():
        if not all(math.isfinite(part) for part in (value if isinstance(value, list) else [value]) if part is not None):
            return None, Failure("score", "NonFinite", f"metric {name} is {value}")
    return scores, None


def _plain(value: Any) -> Any:
    """A score as JSON holds it: a number, None, or a [sum, weight] pair."""
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return None if value is None else (value if isinstance(value, int) else float(value))


def stored_response(response: Any) -> Any:
    """A response as JSON holds it. Log-probabilities of whole windows are not kept (None): their sums are in the scores."""
    if response is None or isinstance(response, str):
        return response
    if isinstance(response, (int, float)):
        return float(response)
    if isinstance(response, tuple):
        return [_plain(part) if not isinstance(part, bool) else part for part in response]
    return None


def response_of(stored: Any) -> Any:
    """The inverse of `stored_response`.

    Raises:
        RowIsGone: the response was not kept.
    """
    if stored is None:
        raise RowIsGone("log-probabilities of the tokens of a window are not kept, only their sums")
    return tuple(stored) if isinstance(stored, list) else stored


def described_task(task: TaskEntry) -> dict[str, Any]:
    """What `run.json` says of a task: how its rows become numbers of a table."""
    return {
        "benchmark": task.benchmark,
        "primary": task.primary.name,
        "averaged": task.averaged,
        **({"folder_sha256": task.folder.sha256} if task.folder.sha256 else {}),
        "metrics": {
            m.name: {"aggregation": m.aggregation, "higher_is_better": m.higher_is_better, "scale": m.scale}
            for m in task.metrics
        },
    }
