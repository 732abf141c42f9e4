"""The block that a hub model card takes: YAML with a `model-index`, as huggingface_hub's own classes write it, and the tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ropepp_eval import __version__
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.reports.documents import with_documents
from ropepp_eval.reports.effective_table import effective_sentences
from ropepp_eval.reports.formats import MARKDOWN, render
from ropepp_eval.reports.layouts import LayoutOptions, lengths_table
from ropepp_eval.reports.ranking import with_intervals
from ropepp_eval.reports.row_frame import without_halves
from ropepp_eval.reports.share.contents import Shared, task_at_length, value_of
from ropepp_eval.reports.table import Show

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def card_text(shared: Shared) -> str:
    """The card of the one checkpoint whose cells these are.

    Raises:
        UserError: the cells are of several checkpoints, or none has a value.
    """
    from huggingface_hub import ModelCardData

    labels = shared.labels
    if len(labels) > 1:
        raise UserError(f"a model card is about one checkpoint; choose one with --checkpoint: {'; '.join(labels.values())}")
    results = _results(shared)
    if not results:
        raise UserError(
            "no cell has a value yet, so there is nothing to put into a card; `ropepp-eval status` says how far it is"
        )
    ((checkpoint, label),) = labels.items()
    data = ModelCardData(model_name=without_halves(checkpoint[0]), eval_results=results)
    cells, options = shared.cells, LayoutOptions()
    table = with_intervals(with_documents(lengths_table(cells, options)))
    table = replace(table, notes=(*table.notes, *effective_sentences(cells, options)))
    name = MARKDOWN.escape(inert(label))
    head = f"## Long-context evaluation of {name}\n\nBy ropepp-eval {__version__}: score against context length, with 95 % intervals."
    facts = shared.facts(cells.cells[0])
    told = [f"{key} {facts[key]}" for key in ("backend", "dtype", "device", "attention") if key in facts]
    told += [f"ropepp-eval's commit {facts['commit']}"] if "commit" in facts else []
    computed = f"Computed with {MARKDOWN.escape(inert(', '.join(told)))}.\n" if told else ""
    return f"---\n{data.to_yaml()}\n---\n\n{head}\n\n{render(table, 'markdown', Show(intervals=True))}\n{computed}"


def _results(shared: Shared) -> list[EvalResult]:
    """One a cell and metric with a value, times the metric's scale (percent where tables show percent)."""
    from huggingface_hub import EvalResult

    found = []
    for cell in shared.cells.cells:
        for metric, rule in cell.metrics.items():
            value = value_of(cell, metric)
            if value["value"] is None:
                continue
            arguments: dict[str, Any] = {"length_tokens": cell.name.length_tokens, "rows": value["rows"]}
            arguments |= {"generated_text_stands_in": True} if value["stand_in"] else {}
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=without_halves(cell.name.benchmark),
                    dataset_name=without_halves(task_at_length(cell)),
                    dataset_config=without_halves(f"{task_at_length(cell)}, {cell.name.protocol}"),
                    dataset_args=arguments,
                    metric_type=without_halves(metric),
                    metric_name=without_halves(f"{metric}{', percent' if rule.scale == 100 else ''}"),
                    metric_value=round(rule.scale * value["value"], 4),
                )
            )
    return found
