"""A row as people look at it: what was asked and answered, where the asked-for facts stood, and whether the answer is right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.reports.aggregation import aggregate
from ropepp_eval.reports.cells import Cell, Cells
from ropepp_eval.reports.depths import depths_of
from ropepp_eval.reports.naming import Checkpoint, checkpoint_of

OUTCOMES = ("right", "partly", "wrong", "failed", "scored", "unscored")
"""`scored`: a perplexity, neither right nor wrong. `unscored`: answered, but without a finite score in the metric."""


@dataclass(frozen=True, eq=False)
class RowView:
    """One stored row, in one metric of its task."""

    number: int
    """From 0, over all rows of the results that were read: no filter changes it."""
    cell: Cell
    metric: str
    record: Mapping[str, Any]

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint_of(self.cell)

    @property
    def question(self) -> str | None:
        """What was asked; None where the line does not hold it (a text that is only read, or a line of an earlier release)."""
        noted = self.record.get("question") or (self.record.get("details") or {}).get("question")
        return str(noted).strip() if noted else None

    @property
    def references(self) -> list[str]:
        """Right answers: texts, or the right one of the choices."""
        choices, gold = self.record.get("choices") or [], self.record.get("gold")
        if choices and isinstance(gold, int) and 0 <= gold < len(choices):
            return [str(choices[gold])]
        return [str(one) for one in self.record.get("references") or []]

    @property
    def answer(self) -> str:
        """What was answered: a text, the choice that was most likely (per token where its row says by how many it is judged), or a
        log-likelihood. Empty where the row failed or windows of a text were scored, which are not kept."""
        responses = self.record.get("responses") or []
        pairs = [one for one in responses if isinstance(one, (list, tuple)) and len(one) == 2 and _is_number(one[0])]
        if pairs and len(pairs) == len(responses) > 1:
            tokens = self._tokens_of_choices(len(pairs))
            best = max(range(len(pairs)), key=lambda i: float(pairs[i][0]) / tokens[i])
            choices = self.record.get("choices") or []
            return str(choices[best]) if best < len(choices) else f"choice {best + 1} of {len(pairs)}"
        return "\n".join(_said(one) for one in responses if one is not None)

    def _tokens_of_choices(self, count: int) -> list[float]:
        """What the log-likelihood of each choice is divided by before they are compared; 1 where the row says nothing."""
        details = self.record.get("details")
        said = details.get("tokens_of_choices") if isinstance(details, dict) else None
        usable = isinstance(said, list) and len(said) == count and all(_is_number(one) and one > 0 for one in said)
        return [float(one) for one in said] if said and usable else [1.0] * count

    @property
    def depths(self) -> list[float]:
        """Depths (0-100 %) of the facts that are asked for; none where `details` say it in a way of their own."""
        try:
            found = depths_of(self.record.get("details"))
        except (AttributeError, KeyError, TypeError):
            return []
        return [float(depth) for depth in found if _is_number(depth) and math.isfinite(depth)]

    @property
    def score(self) -> float | None:
        """The metric of this row alone, unscaled; None where it has none that is finite."""
        scores = self.record.get("scores")
        score = None if self.record["error"] is not None or scores is None else scores.get(self.metric)
        parts: Any = score if isinstance(score, (list, tuple)) else [score]
        if score is None or not all(_is_number(part) and math.isfinite(part) for part in parts):
            return None
        one = tuple(map(float, parts)) if isinstance(score, (list, tuple)) else float(score)
        return aggregate(self.cell.metrics[self.metric].aggregation, [one])

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        if self.record["error"] is not None:
            return "failed"
        score, rule = self.score, self.cell.metrics[self.metric]
        if score is None:
            return "unscored"
        if rule.aggregation != "mean" or not 0 <= score <= 1:
            return "scored"
        share = score if rule.higher_is_better else 1 - score
        return "right" if share == 1 else "partly" if share else "wrong"

    @property
    def failure(self) -> str | None:
        """Why it failed, in one line; None where it did not."""
        error = self.record["error"]
        return None if error is None else f"{error['stage']} ({error['type']}: {error['message'].strip()})"


PromptOf = Callable[[RowView], str]
"""Gives a row's prompt; raises UserError where it can't be made again."""


def row_views(cells: Cells, metric: str | None = None) -> list[RowView]:
    """Every row of the cells, in their order; with `metric`, of the tasks that have it, by which they are then judged.

    Raises:
        UserError: no cell has the metric.
    """
    known = sorted({name for cell in cells.cells for name in cell.metrics})
    if metric is not None and metric not in known:
        raise UserError(f"no cell has the metric {metric!r}; known: {', '.join(known) or 'none'}; choose with --metric")
    return list(_views(cells, metric))


def _views(cells: Cells, metric: str | None) -> Iterator[RowView]:
    number = 0
    for cell in cells.cells:
        for record in cell.rows:
            if metric is None or metric in cell.metrics:
                yield RowView(number, cell, metric or cell.primary, record)
            number += 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(response: Any) -> str:
    """One response in words."""
    if isinstance(response, str):
        return response
    if _is_number(response):
        return f"log-likelihood {response:.4g}"
    if (
        isinstance(response, (list, tuple))
        and len(response) == 2
        and _is_number(response[0])
        and isinstance(response[1], bool)
    ):
        return f"log-likelihood {response[0]:.4g}, {'greedy' if response[1] else 'not greedy'}"
    return json.dumps(response, ensure_ascii=False)
