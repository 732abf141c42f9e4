"""The store as pandas data frames: one line a row, or one line a cell and metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.reports.aggregation import aggregate, standard_error
from ropepp_eval.reports.cells import Cell, Cells, read_cells, scores_of
from ropepp_eval.reports.statistics import count_distinct

if TYPE_CHECKING:
    import pandas

ROW_COLUMNS = (
    "key", "checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol", "seed",
    "tokenizer_sha256", "row", "row_sha256", "prompt_tokens", "new_tokens", "budget", "finish", "cut", "seconds",
    "prompt_sha256", "question", "references", "choices", "gold", "responses", "scores", "scorer_sha256", "stand_in", "cluster", "details", "error", "run",
)  # fmt: skip
RESULT_COLUMNS = (
    "checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol", "metric", "value",
    "stderr", "rows", "failed", "not_finite", "cut", "planned", "damaged", "stand_in", "fill", "clusters", "seed",
    "aggregation", "scale", "higher_is_better", "primary", "run",
)  # fmt: skip


def read_rows(*dirs: str | Path, latest: bool = False) -> pandas.DataFrame:
    """One line a row, with the columns of a stored line (see docs/architecture.md) and `run`.

    Failed rows are there, with `scores` None and `error` set. `frame.attrs["damage"]` says what could not be read.

    Raises:
        UserError: a folder holds no run; or two runs disagree about a cell and `latest` is not set.
    """
    cells = read_cells(*dirs, latest=latest)
    lines = [{**row, "run": "+".join(cell.runs)} for cell in cells.cells for row in cell.rows]
    return _frame([{name: line.get(name) for name in ROW_COLUMNS} for line in lines], ROW_COLUMNS, cells)


def read_results(*dirs: str | Path, latest: bool = False) -> pandas.DataFrame:
    """One line a cell and metric, planned cells without rows included.

    Columns: checkpoint, checkpoint_sha256, position, benchmark, task, length_tokens, protocol, metric;
    value (a plain fraction or a perplexity; None where no row counts), stderr (None for fewer than two rows);
    rows (that count in the value; lm-eval's own count where it kept no rows), failed (rows with an error), not_finite (rows whose score is NaN or infinite, left out),
    cut (rows whose prompt was cut), planned (rows the run meant to make), damaged (unreadable lines), stand_in (any
    generated text in place of a corpus), fill (mean of (prompt + budget) / length, None for texts read through windows),
    clusters (distinct source documents), seed, aggregation, scale, higher_is_better, primary, run.

    Raises:
        UserError: a folder holds no run; or two runs disagree about a cell and `latest` is not set.
    """
    cells = read_cells(*dirs, latest=latest)
    return results_frame(cells)


def results_frame(cells: Cells) -> pandas.DataFrame:
    """`read_results` for cells that are already read."""
    lines = [result_of(cell, metric) for cell in cells.cells for metric in cell.metrics]
    return _frame(lines, RESULT_COLUMNS, cells)


def result_of(cell: Cell, metric: str) -> dict[str, Any]:
    """One line of `read_results`."""
    rule = cell.metrics[metric]
    counted, scores, not_finite = scores_of(cell, metric)
    value, stderr, rows = aggregate(rule.aggregation, scores), standard_error(rule.aggregation, scores), len(scores)
    if metric in cell.reported:
        value, stderr, rows = cell.reported[metric].value, cell.reported[metric].stderr, cell.reported[metric].rows
    return {
        **cell.name._asdict(),
        "metric": metric,
        "value": value,
        "stderr": stderr,
        "rows": rows,
        "failed": cell.failed,
        "not_finite": not_finite,
        "cut": cell.rows.cut,
        "planned": cell.planned,
        "damaged": cell.damaged,
        "stand_in": cell.rows.stand_in,
        "fill": cell.fill,
        "clusters": count_distinct(counted.clusters),
        "seed": cell.seeds[0] if len(cell.seeds) == 1 else None,
        "aggregation": rule.aggregation,
        "scale": rule.scale,
        "higher_is_better": rule.higher_is_better,
        "primary": rule.primary,
        "run": "+".join(cell.runs),
    }


def _frame(lines: list[dict[str, Any]], columns: tuple[str, ...], cells: Cells) -> pandas.DataFrame:
    import pandas

    frame = pandas.DataFrame(lines, columns=list(columns))
    for name in ("value", "stderr", "fill"):
        if name in frame:
            frame[name] = frame[name].astype("float64")  # None becomes NaN, which is how pandas says missing
    for name in ("planned", "seed"):
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    frame.attrs["damage"] = [str(one) for one in cells.damage]
    return frame
